/* Reads the lines of each kind of list; see list_file.h. Pure. */
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "directory/allowances.h"
#include "directory/list_file.h"
#include "smtp/address_list.h"

static size_t fold_address(struct span line, bool domains, char *out, size_t room,
                           char right[LIST_RIGHT])
{
    const char *why = NULL;
    size_t len = list_address(line, domains, out, room, &why);

    if (len == 0)
        snprintf(right, LIST_RIGHT, "%s", why);
    return len;
}

static size_t fold_recipient(struct span line, char *out, size_t room, char right[LIST_RIGHT])
{
    return fold_address(line, true, out, room, right);
}

static size_t fold_trap(struct span line, char *out, size_t room, char right[LIST_RIGHT])
{
    return fold_address(line, false, out, room, right);
}

static size_t fold_network(struct span line, char *out, size_t room, char right[LIST_RIGHT])
{
    struct network n;
    char text[ADDR_TEXT];

    line = span_trim(span_first(line, span_find(line, '#')));
    if (network_parse(line, &n)) {
        network_format(&n, text);
        size_t len = strlen(text);
        if (len >= room)
            return 0;
        memcpy(out, text, len + 1);
        return len;
    }
    if (network_has_host_bits(line, &n))
        snprintf(right, LIST_RIGHT, "%s", network_format(&n, text));
    else
        snprintf(right, LIST_RIGHT, "192.0.2.0/24");
    return 0;
}

/* Takes the last word off *line: a number of recipients. */
static bool take_limit(struct span *line, uint32_t *limit)
{
    size_t at = line->len;
    uint64_t n;

    while (at > 0 && line->at[at - 1] != ' ' && line->at[at - 1] != '\t')
        at--;
    if (!span_number(span_after(*line, at), &n) || n > LEDGER_BUCKET_MOST)
        return false;
    *limit = (uint32_t)n;
    *line = span_trim(span_first(*line, at));
    return true;
}

/* No account's name has a control character, and the rest of a name after a NUL would be lost. */
static bool has_control(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.at[i] < ' ' || name.at[i] == 0x7f)
            return true;
    return false;
}

bool allowance_line(struct span line, struct span *name, uint32_t *per_hour, uint32_t *per_day)
{
    line = span_trim(line);
    if (!take_limit(&line, per_day) || !take_limit(&line, per_hour) || line.len == 0 ||
        line.len > ALLOWANCE_NAME_MAX || has_control(line))
        return false;
    *name = line;
    return true;
}

static size_t fold_allowance(struct span line, char *out, size_t room, char right[LIST_RIGHT])
{
    uint32_t per_hour, per_day;
    struct span name;

    if (!allowance_line(line, &name, &per_hour, &per_day)) {
        snprintf(right, LIST_RIGHT,
                 "an account, and its recipients an hour and a day up to 1000000: "
                 "joe@example.org 500 5000");
        return 0;
    }
    int n = snprintf(out, room, "%.*s %u %u", (int)name.len, name.at, per_hour, per_day);
    for (size_t i = 0; i < name.len; i++)
        if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] - 'A' + 'a');
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

const struct list_kind list_recipients = {
    "recipients",   "lists",     "is not an address",
    "address",      "addresses", "its recipients are deferred (451)",
    fold_recipient,
};
const struct list_kind list_traps = {
    "traps",   "lists", "is not an address", "address", "addresses", "its addresses are no traps",
    fold_trap,
};
const struct list_kind list_allowances = {
    "allowances",   "worker-lists", "is not an allowance",
    "allowance",    "allowances",   "its accounts have the allowance of all others",
    fold_allowance,
};
const struct list_kind list_suspects = {
    "suspects",   "worker-lists", "is not a network",
    "network",    "networks",     "its networks are not suspect",
    fold_network,
};

unsigned list_check_recipients(struct span text, const char *path, struct buf *said)
{
    return list_check(&list_recipients, text, path, said);
}

unsigned list_check_traps(struct span text, const char *path, struct buf *said)
{
    return list_check(&list_traps, text, path, said);
}

unsigned list_check_allowances(struct span text, const char *path, struct buf *said)
{
    return list_check(&list_allowances, text, path, said);
}

unsigned list_check_suspects(struct span text, const char *path, struct buf *said)
{
    return list_check(&list_suspects, text, path, said);
}
