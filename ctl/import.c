/* Settings of others; see import.h.
 *
 * Three kinds of text, told apart by what stands in them: a Windows registry export (UTF-16 as
 * regedit writes it, or plain), the output of Exchange's Get-ReceiveConnector | Format-List, and
 * that of Postfix's postconf -n. Whatever is not known is left out; nothing is guessed. */
#include "import.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "link.h"

enum { FILE_MAX = 4 << 20 };

/* ---- reading ---- */

static int read_all(const char *path, struct buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char part[16384];
    size_t n;

    if (!f)
        return -errno;
    while ((n = fread(part, 1, sizeof part, f)) > 0 && out->len < FILE_MAX)
        if (buf_add(out, part, n) < 0)
            break;
    if (f != stdin)
        fclose(f);
    return 0;
}

/* UTF-16 with its mark becomes ASCII (what is beyond it, "?"), and a mark of UTF-8 goes. */
static void flatten(struct buf *text)
{
    const unsigned char *at = (const unsigned char *)text->at;
    bool little = text->len >= 2 && at[0] == 0xff && at[1] == 0xfe;
    bool big = text->len >= 2 && at[0] == 0xfe && at[1] == 0xff;
    uint32_t to = 0;

    if (text->len >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        buf_drop(text, 3);
    if (!little && !big)
        return;
    for (uint32_t i = 2; i + 1 < text->len; i += 2) {
        unsigned unit =
            little ? at[i] | (unsigned)at[i + 1] << 8 : (unsigned)at[i] << 8 | at[i + 1];
        text->at[to++] = unit < 128 ? (char)unit : '?';
    }
    text->len = to;
}

static struct span next_line(struct span *rest)
{
    struct span line = span_first(*rest, span_find(*rest, '\n'));

    *rest = span_after(*rest, line.len + (line.len < rest->len));
    return span_trim(line);
}

/* "NAME <sep> VALUE": *value is VALUE, trimmed. */
static bool is_setting(struct span line, const char *name, char separator, struct span *value)
{
    size_t at = span_find(line, separator);

    if (at == line.len || !span_equal_fold(span_trim(span_first(line, at)), span_of(name)))
        return false;
    *value = span_trim(span_after(line, at + 1));
    return true;
}

static bool contains(struct span text, const char *words)
{
    return text.at && memmem(text.at, text.len, words, strlen(words));
}

static unsigned long number(struct span text, int base)
{
    char copy[32];

    snprintf(copy, sizeof copy, "%.*s", (int)text.len, text.at);
    return strtoul(copy, NULL, base);
}

/* ---- what is printed ---- */

static void print_time(unsigned long seconds)
{
    if (seconds > 285) {
        printf("# %lu s is longer than senders wait for a reply (300 s): 285 s at most\n", seconds);
        seconds = 285;
    }
    if (seconds == 0)
        printf("tarpit { time = 0 }   # no delays; recipients are filtered all the same\n");
    else if (seconds > 90)
        printf("tarpit { time = %lus  max = %lus }\n", seconds, seconds);
    else
        printf("tarpit { time = %lus }\n", seconds);
    if (seconds)
        printf("# For exactly the old behaviour, a fixed delay of each 5xx on its own connection, "
               "add to it:\n"
               "#   growth = 1  pace = false  shield = 0  drip = 0  patience_offences = 0\n");
}

/* Networks of a list in braces or words, as `exempt`; ranges and tables are named in comments. */
static void print_exempt(struct span list, const char *why)
{
    struct buf known = {0};
    struct network n;
    char text[ADDR_TEXT];

    while (list.len) {
        size_t len = 0;
        while (len < list.len && !strchr(", \t{}", list.at[len]))
            len++;
        struct span word = span_first(list, len);
        list = span_after(list, len + (len < list.len));
        if (word.len == 0)
            continue;
        if (network_parse(word, &n))
            buf_addf(&known, "%s\"%s\"", known.len ? ", " : "", network_format(&n, text));
        else
            printf("# left out of exempt: %.*s\n", (int)word.len, word.at);
    }
    if (known.len)
        printf("exempt = { %.*s }   # %s\n", (int)known.len, known.at, why);
    buf_free(&known);
}

/* ---- the three kinds ---- */

static int from_registry(struct span text)
{
    struct span value;
    int found = 0;

    while (text.len) {
        struct span line = next_line(&text);
        if (!is_setting(line, "\"TarpitTime\"", '=', &value) ||
            !span_starts_fold(value, SPAN("dword:")))
            continue;
        unsigned long seconds = number(span_after(value, 6), 16);
        printf("# Windows' TarpitTime is %lu s\n", seconds);
        print_time(seconds);
        found++;
    }
    return found;
}

/* "00:00:05", with days in front of a dot perhaps. */
static unsigned long clock_seconds(struct span text)
{
    unsigned long seconds = 0;
    struct span part;

    do {
        part = span_first(text, span_find(text, ':'));
        seconds = seconds * 60 + number(part, 10);
        text = span_after(text, part.len + (part.len < text.len));
    } while (text.len);
    return seconds;
}

static bool is_everyone(struct span ranges)
{
    return contains(ranges, "0.0.0.0-255.255.255.255");
}

static int from_exchange(struct span text)
{
    struct span value;
    int found = 0;

    while (text.len) {
        struct span line = next_line(&text);
        if (is_setting(line, "Identity", ':', &value) || is_setting(line, "Name", ':', &value)) {
            printf("# connector %.*s\n", (int)value.len, value.at);
        } else if (is_setting(line, "TarpitInterval", ':', &value)) {
            print_time(clock_seconds(value));
            printf("# and there: Set-ReceiveConnector -TarpitInterval 0, for mired waits now\n");
            found++;
        } else if (is_setting(line, "RemoteIPRanges", ':', &value)) {
            if (!is_everyone(value))
                print_exempt(value, "this connector's own senders: filtered, never delayed");
            found++;
        } else if (is_setting(line, "AuthMechanism", ':', &value) && contains(value, "BasicAuth")) {
            printf("auth \"backend\" { }   # BasicAuth: logins are handed through to Exchange\n");
            found++;
        }
    }
    return found;
}

static void print_domains(struct span list, const char *key)
{
    printf("# %s; those with $ or a table are left to you\ndomains = {", key);
    for (bool first = true; list.len;) {
        size_t len = 0;
        while (len < list.len && !strchr(", \t", list.at[len]))
            len++;
        struct span word = span_first(list, len);
        list = span_after(list, len + (len < list.len));
        if (word.len == 0 || memchr(word.at, '$', word.len) || memchr(word.at, ':', word.len))
            continue;
        printf("%s \"%.*s\"", first ? "" : ",", (int)word.len, word.at);
        first = false;
    }
    printf(" }\n");
}

static int from_postfix(struct span text)
{
    struct span value;
    int found = 0;

    while (text.len) {
        struct span line = next_line(&text);
        found++;
        if (is_setting(line, "smtpd_error_sleep_time", '=', &value))
            print_time(number(value, 10));
        else if (is_setting(line, "mynetworks", '=', &value))
            print_exempt(value, "mynetworks: filtered, never delayed");
        else if (is_setting(line, "myhostname", '=', &value))
            printf("hostname = \"%.*s\"\n", (int)value.len, value.at);
        else if (is_setting(line, "relay_domains", '=', &value) ||
                 is_setting(line, "virtual_mailbox_domains", '=', &value) ||
                 is_setting(line, "mydestination", '=', &value))
            print_domains(value, "one of relay_domains, virtual_mailbox_domains, mydestination");
        else if (is_setting(line, "message_size_limit", '=', &value))
            printf("size_max = %.*s\n", (int)value.len, value.at);
        else if (is_setting(line, "recipient_delimiter", '=', &value))
            printf("recipient_delimiter = \"%.*s\"\n", (int)value.len, value.at);
        else if (is_setting(line, "relay_recipient_maps", '=', &value) ||
                 is_setting(line, "virtual_mailbox_maps", '=', &value))
            printf("recipients \"backend\" { }   # Postfix is asked, and looks into %.*s\n",
                   (int)value.len, value.at);
        else
            found--;
    }
    return found;
}

int import_file(const char *path)
{
    struct buf text = {0};
    int error = read_all(path, &text), found = 0;

    if (error < 0) {
        fprintf(stderr, "mirectl: %s: %s\n", path, strerrordesc_np(-error));
        return CTL_REFUSED;
    }
    flatten(&text);
    struct span all = buf_span(&text);
    if (contains(all, "TarpitTime"))
        found = from_registry(all);
    else if (contains(all, "TarpitInterval"))
        found = from_exchange(all);
    else
        found = from_postfix(all);
    buf_free(&text);
    if (found)
        return CTL_DONE;
    fprintf(stderr,
            "mirectl: nothing in %s is known; right would be a registry export with "
            "\"TarpitTime\", the "
            "output of Get-ReceiveConnector | fl, or that of postconf -n\n",
            path);
    return CTL_REFUSED;
}
