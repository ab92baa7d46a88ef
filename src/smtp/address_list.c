/* Lists of addresses; see address_list.h. */
#include "smtp/address_list.h"

#include <string.h>

#include "smtp/address.h"

const char *list_begin(struct span *text)
{
    static const struct {
        const char *mark;
        size_t length;
        const char *wrong;
    } marks[] = {
        {"\xff\xfe\0\0", 4, "this is UTF-32; expected UTF-8"},
        {"\0\0\xfe\xff", 4, "this is UTF-32; expected UTF-8"},
        {"\xff\xfe", 2, "this is UTF-16; expected UTF-8 (PowerShell: -Encoding utf8)"},
        {"\xfe\xff", 2, "this is UTF-16; expected UTF-8 (PowerShell: -Encoding utf8)"},
        {"\xef\xbb\xbf", 3, NULL},
    };

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (text->len < marks[i].length || memcmp(text->at, marks[i].mark, marks[i].length) != 0)
            continue;
        if (marks[i].wrong)
            return marks[i].wrong;
        *text = span_after(*text, marks[i].length);
        break;
    }
    return text->len && memchr(text->at, 0, text->len)
               ? "it contains NUL bytes, as UTF-16 and damaged files do; expected UTF-8 text"
               : NULL;
}

bool list_next(struct span *rest, unsigned *number, struct span *line)
{
    while (rest->len) {
        size_t end = span_find(*rest, '\n');
        struct span whole = span_first(*rest, end);
        *rest = span_after(*rest, end + (end < rest->len));
        ++*number;
        if (whole.len && whole.at[whole.len - 1] == '\r')
            whole.len--;
        *line = span_trim(whole);
        if (line->len && line->at[0] != '#')
            return true;
    }
    return false;
}

static bool contains(struct span s, const char *any)
{
    for (; *any; any++)
        if (span_find(s, *any) < s.len)
            return true;
    return false;
}

/* Says what is right, by the most likely mistake. */
static const char *what_is_right(struct span line, bool domains)
{
    if (span_starts_fold(line, SPAN("smtp:")) || span_starts_fold(line, SPAN("mailto:")))
        return "the address without what stands before it";
    if (contains(line, "<>"))
        return "the address without < and >";
    if (contains(line, ",;"))
        return "one address a line, and nothing else";
    if (contains(line, " \t#"))
        return "the address alone; a comment has a line of its own";
    if (domains && (span_starts_fold(line, SPAN("*@")) || span_starts_fold(line, SPAN("@*"))))
        return "@example.org for all of a domain, each by its name";
    if (span_find(line, '@') == line.len)
        return "an address with its domain, alice@example.org";
    return domains ? "alice@example.org, or @example.org" : "alice@example.org";
}

/* Uses the grammar of paths, so that a list has only addresses that a RCPT can have. */
static bool parse(struct span line, struct mailbox *box)
{
    char path[ADDRESS_MAX + 2];
    size_t used;

    if (line.len == 0 || line.len > ADDRESS_MAX || line.at[0] == '@')
        return false;
    path[0] = '<';
    memcpy(path + 1, line.at, line.len);
    path[line.len + 1] = '>';
    struct span whole = {path, line.len + 2};
    enum path_result result = path_parse(whole, &used, box);
    if ((result != PATH_OK && result != PATH_NON_ASCII) || used != whole.len)
        return false;
    /* point into `line`, because `path` goes out of scope */
    box->local = (struct span){line.at + (box->local.at - path - 1), box->local.len};
    box->domain = (struct span){line.at + (box->domain.at - path - 1), box->domain.len};
    return true;
}

size_t list_address(struct span line, bool domains, char *out, size_t room, const char **right)
{
    char any[ADDRESS_MAX + 2];
    struct mailbox box;
    size_t len = 0;

    if (domains && line.len > 1 && line.len <= ADDRESS_MAX && line.at[0] == '@') {
        any[0] = 'x'; /* folds the domain as it is folded in addresses */
        memcpy(any + 1, line.at, line.len);
        if (parse((struct span){any, line.len + 1}, &box))
            len = mailbox_fold(&box, out, room);
        if (len) {
            len--;
            memmove(out, out + 1, len + 1);
        }
    } else if (parse(line, &box) && !span_equal(box.local, SPAN("*"))) {
        len = mailbox_fold(&box, out, room);
    }
    if (!len)
        *right = what_is_right(line, domains);
    return len;
}
