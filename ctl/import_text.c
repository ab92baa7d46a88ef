/* Converts settings of other servers in memory; see import.h.
 *
 * It recognises the kind of text by its contents: a Windows registry export (UTF-16 as regedit
 * writes it, or plain), the output of Exchange's Get-ReceiveConnector | Format-List, and that of
 * Postfix's postconf -n. Unknown settings are left out; nothing is guessed. Only checked text is
 * written between quotes, and only printable characters into comments. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "import.h"
#include "import_part.h"

enum {
    TIME_MOST = 285,
    TIME_USUAL = 90,
    GREET_MOST = 30,
    NOTE_MAX = 512,
    LIST_MAX = 65536,
    HOLES_MAX = 64
};

/* ---- reading ---- */

static void narrow(struct buf *text, bool little)
{
    const unsigned char *at = (const unsigned char *)text->at;
    uint32_t to = 0;

    for (uint32_t i = 2; i + 1 < text->len; i += 2) {
        unsigned unit =
            little ? at[i] | (unsigned)at[i + 1] << 8 : (unsigned)at[i] << 8 | at[i + 1];
        text->at[to++] = unit < 128 ? (char)unit : '?';
    }
    text->len = to;
}

void import_flatten(struct buf *text)
{
    struct span all = buf_span(text);
    uint32_t to = 0;

    if (all.len >= 3 && memcmp(all.at, "\xef\xbb\xbf", 3) == 0)
        buf_drop(text, 3);
    else if (all.len >= 2 && memcmp(all.at, "\xff\xfe", 2) == 0)
        narrow(text, true);
    else if (all.len >= 2 && memcmp(all.at, "\xfe\xff", 2) == 0)
        narrow(text, false);
    for (uint32_t i = 0; i < text->len; i++)
        if (text->at[i] != '\r' || i + 1 == text->len || text->at[i + 1] != '\n')
            text->at[to++] = text->at[i];
    text->len = to;
}

struct span import_line(struct span *rest)
{
    struct span line = span_first(*rest, span_find(*rest, '\n'));

    *rest = span_after(*rest, line.len + (line.len < rest->len));
    return span_trim(line);
}

struct span import_word(struct span *list, const char *separators)
{
    size_t skip = 0, len = 0;

    while (skip < list->len && list->at[skip] && strchr(separators, list->at[skip]))
        skip++;
    *list = span_after(*list, skip);
    while (len < list->len && !(list->at[len] && strchr(separators, list->at[len])))
        len++;
    struct span word = span_first(*list, len);
    *list = span_after(*list, len);
    return word;
}

bool import_is(struct span line, const char *name, char separator, struct span *value)
{
    size_t at = span_find(line, separator);

    if (at == line.len || !span_equal_fold(span_trim(span_first(line, at)), span_of(name)))
        return false;
    *value = span_trim(span_after(line, at + 1));
    return true;
}

bool import_contains(struct span text, const char *words)
{
    return text.len && memmem(text.at, text.len, words, strlen(words));
}

unsigned long import_number(struct span text, int base)
{
    char copy[32];

    snprintf(copy, sizeof copy, "%.*s", (int)(text.len < 31 ? text.len : 31), text.at);
    unsigned long n = strtoul(copy, NULL, base);
    return n < 1000000000 ? n : 1000000000; /* more is as much as that */
}

bool import_is_plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < ' ' || text.at[i] > '~' || strchr("\"\\$", text.at[i]))
            return false;
    return text.len > 0 && text.len < 1024;
}

bool import_is_domain(struct span text)
{
    size_t label = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool hyphen = c == '-' && label > 0 && i + 1 < text.len && text.at[i + 1] != '.';
        if (c == '.' ? label == 0 : !letter && !hyphen)
            return false;
        /* the third and fourth of a label are hyphens in "xn--" only */
        if (label == 3 && c == '-' && text.at[i - 1] == '-' &&
            !span_equal_fold((struct span){text.at + i - 3, 2}, SPAN("xn")))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0 && text.len < 254;
}

/* ---- what was found ---- */

static void add_line(struct import *im, const char *setting, char *reason)
{
    for (char *c = reason; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    json_array_append_new(im->lines,
                          json_pack("{s:s?, s:s}", "setting", setting, "reason", reason));
}

void import_note(struct import *im, const char *reason, ...)
{
    char text[NOTE_MAX];
    va_list args;

    va_start(args, reason);
    vsnprintf(text, sizeof text, reason, args);
    va_end(args);
    add_line(im, NULL, text);
}

void import_set(struct import *im, const char *reason, const char *setting, ...)
{
    char *text = NULL, why[NOTE_MAX];
    va_list args;

    va_start(args, setting);
    int n = vasprintf(&text, setting, args);
    va_end(args);
    if (n < 0)
        return;
    snprintf(why, sizeof why, "%s", reason);
    add_line(im, text, why);
    free(text);
}

void import_time(struct import *im, const char *from, unsigned long seconds)
{
    im->found++;
    if (im->timed && im->seconds != seconds)
        import_note(
            im, "%s is %lu s there and %lu s elsewhere: mired has one setting and uses the longer",
            from, seconds, im->seconds);
    else
        import_note(im, "%s is %lu s", from, seconds);
    if (!im->timed || seconds > im->seconds)
        im->seconds = seconds;
    im->timed = true;
}

/* Appends "WORD" to a list, unless the list has it already or is full. */
static void add_word(struct buf *list, struct span word)
{
    char quoted[300];
    int n = snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)word.len, word.at);

    if (n < 0 || (size_t)n >= sizeof quoted || list->len > LIST_MAX ||
        (list->len && memmem(list->at, list->len, quoted, (size_t)n)))
        return;
    buf_addf(list, "%s%s", list->len ? ", " : "", quoted);
}

/* Networks that are excluded from a wider one after them: Postfix's "!10.0.0.5". */
struct holes {
    struct network at[HOLES_MAX];
    size_t count;
};

static void add_network(struct import *im, const struct network *n, bool relay)
{
    char text[ADDR_TEXT];

    network_format(n, text);
    add_word(&im->exempt, span_of(text));
    if (relay && n->bits < (n->base.family == ADDR_IP6 ? 7 : 8))
        import_note(im, "not added to relay, because it is half of the Internet: %s", text);
    else if (relay)
        add_word(&im->relay, span_of(text));
}

/* Adds the parts of a network around the holes, by halving it again and again. */
static void add_around(struct import *im, const struct network *n, const struct holes *h,
                       bool relay)
{
    bool touched = false;

    for (size_t i = 0; i < h->count; i++) {
        const struct network *hole = &h->at[i];
        if (hole->bits <= n->bits && network_contains(hole, &n->base))
            return;
        touched = touched || network_contains(n, &hole->base);
    }
    if (!touched) {
        add_network(im, n, relay);
        return;
    }
    struct network half = {n->base, (uint8_t)(n->bits + 1)};
    add_around(im, &half, h, relay);
    half.base.octets[n->bits / 8] |= (uint8_t)(0x80 >> n->bits % 8);
    add_around(im, &half, h, relay);
}

static void take_networks(struct import *im, struct span list, bool relay)
{
    struct holes holes = {0};
    struct network n;

    im->found++;
    for (struct span word; (word = import_word(&list, ", \t{}")).len;) {
        bool hole = word.at[0] == '!';
        bool good = network_parse(hole ? span_after(word, 1) : word, &n) && n.bits > 0;
        if (good && hole && holes.count < HOLES_MAX) {
            holes.at[holes.count++] = n;
        } else if (good && !hole) {
            add_around(im, &n, &holes, relay);
        } else if (hole) { /* it might exclude any part of the others, so none of them is trusted */
            import_note(im, "%.*s cannot be read, so nothing after it is added to exempt%s: %.*s",
                        (int)word.len, word.at, relay ? " and relay" : "", (int)list.len, list.at);
            return;
        } else {
            import_note(im, "not added to exempt%s: %.*s", relay ? " and relay" : "", (int)word.len,
                        word.at);
        }
    }
}

void import_exempt(struct import *im, struct span list)
{
    take_networks(im, list, false);
}

void import_relay(struct import *im, struct span list)
{
    take_networks(im, list, true);
}

void import_domains(struct import *im, struct span list)
{
    im->found++;
    for (struct span word; (word = import_word(&list, ", \t")).len;) {
        if (import_is_domain(word)) {
            add_word(&im->domains, word);
        } else {
            import_note(im, "not added to domains: %.*s", (int)word.len, word.at);
            im->some_unknown = true;
        }
    }
}

void import_greet(struct import *im, const char *from, unsigned long seconds)
{
    if (seconds > GREET_MOST) {
        import_note(im, "%s: %lu s is longer than checks wait for a greeting: %d s at most", from,
                    seconds, GREET_MOST);
        seconds = GREET_MOST;
    }
    if (seconds > im->greet)
        im->greet = seconds;
    import_note(im,
                "%s: only clients that mired does not know wait, once (greet); monitors that send "
                "before the greeting need exempt, see docs/monitors.md",
                from);
}

static void end_time(struct import *im)
{
    unsigned long s = im->seconds;
    char greet[40] = "";

    if (im->greet)
        snprintf(greet, sizeof greet, "  greet = %lus", im->greet);
    if (!im->timed && im->greet)
        import_set(im, "the pause before the greeting of an unknown client", "tarpit {%s }", greet);
    if (!im->timed)
        return;
    if (s > TIME_MOST) {
        import_note(im, "%lu s is longer than senders wait for a reply (300 s): %d s at most", s,
                    TIME_MOST);
        s = TIME_MOST;
    }
    if (s == 0 && im->greet)
        import_note(im, "time = 0 turns the pause before the greeting off, too");
    if (s == 0)
        import_set(im, "no delays; recipients are still filtered", "tarpit { time = 0 }");
    else if (s > TIME_USUAL)
        import_set(im, "the basic hold; max must not be shorter, and senders do not wait longer",
                   "tarpit { time = %lus  max = %lus%s }", s, s, greet);
    else
        import_set(im, "the basic hold of each refusal", "tarpit { time = %lus%s }", s, greet);
    if (s)
        import_note(im, "For exactly the old behaviour, a fixed delay of each 5xx on its own "
                        "connection, add to it: growth = 1  pace = false  shield = 0  drip = 0  "
                        "patience_offences = 0");
}

void import_rest(struct import *im, struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] <= ' ' || name.at[i] > '~')
            return;
    if (name.len && name.len < 64 && im->rest.len < LIST_MAX)
        buf_addf(&im->rest, "%s%.*s", im->rest.len ? " " : "", (int)name.len, name.at);
}

/* In lines of a length that a person reads. */
static void end_rest(struct import *im)
{
    struct span rest = buf_span(&im->rest);
    char line[400] = "";
    size_t n = 0;

    for (struct span word; (word = import_word(&rest, " ")).len;) {
        if (n + word.len + 2 > 100) {
            import_note(im, "not converted: %s", line);
            n = 0;
        }
        int m =
            snprintf(line + n, sizeof line - n, "%s%.*s", n ? ", " : "", (int)word.len, word.at);
        n += m > 0 ? (size_t)m : 0;
    }
    if (n)
        import_note(im, "not converted: %s", line);
    buf_free(&im->rest);
}

static bool listens_on(const struct import *im, const char *address)
{
    char word[128];
    int n = snprintf(word, sizeof word, " %s ", address);

    return n > 0 && im->listening.len &&
           memmem(im->listening.at, im->listening.len, word, (size_t)n);
}

/* Whether an address of that family is there. */
static bool listens_in_family(const struct import *im, bool ip6)
{
    struct span rest = buf_span(&im->listening);

    for (struct span word; (word = import_word(&rest, " ")).len;)
        if ((word.at[0] == '[') == ip6)
            return true;
    return false;
}

/* All addresses of a family and one of them cannot be together. */
void import_listen(struct import *im, const char *address, const char *reason)
{
    bool ip6 = address[0] == '[';
    const char *all = ip6 ? "[::]" : "0.0.0.0";

    if (listens_on(im, address))
        return;
    if (listens_on(im, all)) {
        import_note(im, "%s: \"%s:25\" is one of \"%s:25\" above", reason, address, all);
        return;
    }
    if (strcmp(address, all) == 0 && listens_in_family(im, ip6)) {
        import_note(im,
                    "%s: \"%s:25\" is not converted, because it includes the addresses above; it "
                    "may take their place",
                    reason, address);
        return;
    }
    (void)buf_addf(&im->listening, " %s ", address);
    import_set(im, reason, "listen \"%s:25\" { }", address);
}

void import_backend(struct import *im, const char *title, const char *more, const char *reason)
{
    import_set(im, reason, "backend \"%s\" { %s}", title, more);
    im->backed = true;
}

/* Adds a comment with what a configuration must have and the text did not contain. */
static void end_needs(struct import *im)
{
    if (!im->listening.len) {
        if (!im->only_ip6)
            import_listen(im, "0.0.0.0", "mired takes the server's place on port 25");
        if (!im->only_ip4)
            import_listen(im, "[::]",
                          im->only_ip6 ? "mired takes the server's place on port 25"
                                       : "and on IPv6");
    }
    if (!im->backed)
        import_backend(
            im, "smtp://127.0.0.1:10025", "",
            "the server that receives the mail: move it to another port, or set its address here");
    if (im->some_unknown)
        import_note(im, "still missing: the domains that the tables above hold; mail for a domain "
                        "that is not in domains is refused");
    if (!im->domains.len)
        import_note(im, "still missing: domains = { ... }, the domains to accept mail for");
}

void import_end(struct import *im)
{
    end_time(im);
    if (im->found)
        end_needs(im);
    end_rest(im);
    buf_free(&im->listening);
    buf_free(&im->zones);
    if (im->exempt.len)
        import_set(im, "your own senders: filtered, never delayed", "exempt = { %.*s }",
                   (int)im->exempt.len, im->exempt.at);
    if (im->relay.len) {
        import_set(im, "your own machines may send to any domain without a login",
                   "relay = { %.*s }", (int)im->relay.len, im->relay.at);
        import_note(im, "remove from relay each gateway or load balancer that passes on strangers' "
                        "connections");
    }
    if (im->domains.len)
        import_set(im, "the domains to accept mail for", "domains = { %.*s }", (int)im->domains.len,
                   im->domains.at);
    buf_free(&im->exempt);
    buf_free(&im->relay);
    buf_free(&im->domains);
}

/* ---- the whole ---- */

int import_text(struct buf *text, json_t **lines)
{
    struct import im = {.lines = json_array()};

    *lines = im.lines;
    if (!im.lines)
        return -1;
    import_flatten(text);
    struct span all = buf_span(text);
    if (import_contains(all, "TarpitTime"))
        import_registry(&im, all);
    else if (import_contains(all, "<IIsSmtp"))
        import_metabase(&im, all);
    else if (import_contains(all, "RelayIpList"))
        import_relay_list(&im, all);
    else if (import_contains(all, "TarpitInterval") || import_contains(all, "DomainType") ||
             import_contains(all, "InternalSMTPServers") ||
             import_contains(all, "MaxOutboundConnections"))
        import_exchange(&im, all);
    else
        import_postfix(&im, all);
    import_end(&im);
    return im.found;
}

int import_render(const json_t *lines, struct buf *out)
{
    int error = 0;
    size_t i;
    json_t *line;

    json_array_foreach(lines, i, line)
    {
        const char *setting = json_string_value(json_object_get(line, "setting"));
        const char *reason = json_string_value(json_object_get(line, "reason"));
        if (!error)
            error = buf_addf(out, "# %s\n", reason ? reason : "");
        if (!error && setting)
            error = buf_addf(out, "%s\n", setting);
    }
    return error;
}
