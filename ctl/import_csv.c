/* Addresses out of a table with columns, as Export-Csv of Exchange and csvde of Active Directory
 * write it, for a file of recipients. The first line names the columns. A value may be quoted, with
 * "" for a quote and line ends within. If a table is cut off, or a line has a different number of
 * columns from the first, the whole table is refused: half a list of recipients is worse than
 * yesterday's list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "import_part.h"

enum { COLUMNS_MAX = 256, DISABLED = 2 };

enum column { OTHER, ADDRESS, ADDRESSES, ACCOUNT_CONTROL };

struct table {
    struct span rest;
    char separator;
    unsigned line; /* of the text, from 1 */
    enum column kind[COLUMNS_MAX];
    size_t columns;
    struct buf value; /* the last one read, without its quotes */
};

/* Reads a value into t->value. Returns what ended it: the separator, '\n', 0 at the end of the
 * text; -1: a quote is open. */
static int next_value(struct table *t)
{
    bool quoted = false;

    t->value.len = 0;
    for (; t->rest.len; t->rest = span_after(t->rest, 1)) {
        char c = t->rest.at[0];
        bool twice = quoted && c == '"' && t->rest.len > 1 && t->rest.at[1] == '"';
        t->line += c == '\n';
        if (c == '"' && !twice) {
            quoted = !quoted;
            continue;
        }
        if (!quoted && (c == t->separator || c == '\n')) {
            t->rest = span_after(t->rest, 1);
            return (unsigned char)c;
        }
        if (twice)
            t->rest = span_after(t->rest, 1);
        if (c != '\r' && buf_add(&t->value, &c, 1) < 0)
            return -1;
    }
    return quoted ? -1 : 0;
}

static enum column column_of(struct span name)
{
    static const struct {
        const char *name;
        enum column kind;
    } known[] = {{"PrimarySmtpAddress", ADDRESS},
                 {"WindowsEmailAddress", ADDRESS},
                 {"EmailAddress", ADDRESS},
                 {"mail", ADDRESS},
                 {"EmailAddresses", ADDRESSES},
                 {"proxyAddresses", ADDRESSES},
                 {"userAccountControl", ACCOUNT_CONTROL}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_equal_fold(name, span_of(known[i].name)))
            return known[i].kind;
    return OTHER;
}

/* The columns, and which of the usual separators stands between them. */
static bool read_head(struct table *t)
{
    struct span head = span_first(t->rest, span_find(t->rest, '\n'));
    bool any = false;
    int end = 0;

    if (span_starts_fold(head, SPAN("#TYPE"))) { /* Export-Csv without -NoTypeInformation */
        t->rest = span_after(t->rest, head.len + 1);
        t->line++;
        head = span_first(t->rest, span_find(t->rest, '\n'));
    }
    t->separator = import_contains(head, "\t") ? '\t' : import_contains(head, ";") ? ';' : ',';
    do {
        if (t->columns == COLUMNS_MAX || (end = next_value(t)) < 0)
            return false;
        t->kind[t->columns] = column_of(span_trim(buf_span(&t->value)));
        any |= t->kind[t->columns] == ADDRESS || t->kind[t->columns] == ADDRESSES;
        t->columns++;
    } while (end == (unsigned char)t->separator);
    return any;
}

bool import_is_table(struct span text)
{
    struct table t = {.rest = text};
    bool is = read_head(&t);

    buf_free(&t.value);
    return is;
}

/* ---- addresses ---- */

static bool is_address(struct span word)
{
    static const char more[] = "!#$%&'*+-/=?^_`{|}~.";
    size_t sign = span_find(word, '@');

    for (size_t i = 0; i < sign; i++) {
        char c = word.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool dot = c == '.' && (i == 0 || i + 1 == sign || word.at[i + 1] == '.');
        if ((!letter && (!c || !strchr(more, c))) || dot)
            return false;
    }
    return sign > 0 && sign < 65 && sign < word.len && import_is_domain(span_after(word, sign + 1));
}

static void take_address(struct import_recipients *out, struct span word)
{
    char folded[320];

    if (!is_address(word) || word.len >= sizeof folded) {
        out->skipped++;
        return;
    }
    for (size_t i = 0; i < word.len; i++)
        folded[i] = word.at[i] >= 'A' && word.at[i] <= 'Z' ? (char)(word.at[i] + 32) : word.at[i];
    json_object_set_new(out->addresses, (folded[word.len] = '\0', folded), json_true());
}

/* "SMTP:alice@a.example,smtp:al@a.example,X500:/o=A": takes the SMTP addresses. */
static void take_addresses(struct import_recipients *out, struct span list)
{
    for (struct span word; (word = import_word(&list, " \t\n,;{}|")).len;) {
        if (span_starts_fold(word, SPAN("smtp:")))
            take_address(out, span_after(word, 5));
        else if (span_find(word, ':') == word.len && span_find(word, '@') < word.len)
            take_address(out, word);
    }
}

/* Reads one row. Takes its addresses when the row is complete, unless its account is disabled.
 * False: it is not complete. *end: the text has ended. */
static bool read_row(struct table *t, struct import_recipients *out, bool *end)
{
    struct buf found = {0};
    bool disabled = false;
    size_t n = 0;
    int c;

    do {
        c = next_value(t);
        struct span value = span_trim(buf_span(&t->value));
        if (c < 0 || (n == t->columns && value.len)) {
            buf_free(&found);
            return false;
        }
        enum column kind = n < t->columns ? t->kind[n] : OTHER;
        disabled |= kind == ACCOUNT_CONTROL && import_number(value, 10) & DISABLED;
        if ((kind == ADDRESS || kind == ADDRESSES) && value.len)
            buf_addf(&found, "%.*s\n", (int)value.len, value.at);
        n++;
    } while (c == (unsigned char)t->separator);
    *end = c == 0;
    bool empty = n == 1 && found.len == 0 && t->value.len == 0;
    if (!disabled)
        take_addresses(out, buf_span(&found));
    out->disabled += disabled;
    buf_free(&found);
    return empty || n == t->columns;
}

bool import_table(struct span text, struct import_recipients *out)
{
    struct table t = {.rest = text, .line = 1};
    bool end = false, good;

    *out = (struct import_recipients){.addresses = json_object()};
    good = out->addresses && read_head(&t);
    while (good && !end && t.rest.len) {
        out->wrong_line = t.line;
        good = read_row(&t, out, &end);
    }
    buf_free(&t.value);
    return good;
}
