/* The log: builds a line on its caller's stack and writes it with one write(2). Every process uses
 * it; no other code writes to standard error.
 *
 *   text      event=session client=192.0.2.7 result=sent role="worker 3"
 *   terminal  14:03:22 session client=192.0.2.7 result=sent            (in colour)
 *   JSON      {"time":"...","level":"info","event":"session","role":"worker 3",
 *              "client":"192.0.2.7",...}
 *
 * Text lines have no time, because journald adds it. A value longer than LOG_VALUE_MAX is cut, so
 * that one hostile word cannot push the rest out of the line. A field without any room left is
 * dropped. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_ring.h"

enum {
    LOG_VALUE_MAX = 512, /* octets of a value as written; sentences may be as long as the line */
    /* reserved for the role, the closing brace and the newline, which log_end() adds */
    LOG_TAIL = 96,
    ROLE_MAX = 32,
};

static struct {
    enum log_format format;
    enum log_level level;
    int fd;
    bool colour;
    char role[ROLE_MAX];
    char tail[LOG_TAIL]; /* what every line ends with */
    size_t tail_len;
    struct log_ring *ring; /* NULL: none */
} out = {.level = LOG_INFO, .fd = STDERR_FILENO};

static const struct {
    const char *name, *colour;
} levels[] = {
    [LOG_DEBUG] = {"debug", "\033[2m"},
    [LOG_INFO] = {"info", "\033[36m"},
    [LOG_WARN] = {"warn", "\033[1;33m"},
    [LOG_ERROR] = {"error", "\033[1;31m"},
};

#define DIM   "\033[2m"
#define PLAIN "\033[0m"

static void make_tail(void)
{
    int n = 0;

    if (out.format == LOG_JSON)
        n = snprintf(out.tail, sizeof out.tail, "}");
    else if (out.role[0] && out.colour)
        n = snprintf(out.tail, sizeof out.tail, " " DIM "%s" PLAIN, out.role);
    else if (out.role[0])
        n = snprintf(out.tail, sizeof out.tail, strchr(out.role, ' ') ? " role=\"%s\"" : " role=%s",
                     out.role);
    out.tail_len = (size_t)n;
}

static void look_at_output(void)
{
    const char *term = getenv("TERM");

    out.colour = out.format == LOG_TEXT && !getenv("NO_COLOR") && isatty(out.fd) &&
                 !(term && strcmp(term, "dumb") == 0);
    make_tail();
}

void log_open(enum log_format format, enum log_level level, const char *role)
{
    out.format = format;
    out.level = level;
    snprintf(out.role, sizeof out.role, "%s", role ? role : "");
    tzset(); /* reads /etc/localtime now, because a sandbox may forbid that later */
    look_at_output();
}

void log_to(int fd)
{
    out.fd = fd;
    look_at_output();
}

void log_keep(struct log_ring *ring)
{
    out.ring = ring;
}

bool log_wants(enum log_level level)
{
    return level >= out.level || (out.ring && level >= LOG_INFO);
}

/* ---- Octets into the line ---- */

static size_t room_left(const struct log_line *l)
{
    return l->len < LOG_LINE_MAX - LOG_TAIL ? (size_t)(LOG_LINE_MAX - LOG_TAIL - l->len) : 0;
}

/* Adds all of it, or nothing if it does not fit. */
static bool put(struct log_line *l, const char *at, size_t n)
{
    if (n > room_left(l))
        return false;
    if (n == 0) /* an empty span may have a null pointer, which memcpy() does not allow */
        return true;
    // cppcheck-suppress uninitvar ; a row of its callers that it follows wrongly
    memcpy(l->text + l->len, at, n);
    l->len += (uint16_t)n;
    return true;
}

static inline bool put_string(struct log_line *l, const char *s)
{
    return put(l, s, strlen(s));
}

/* Octets of the valid UTF-8 character that `s` begins with; 0 when there is none (RFC 3629). */
static size_t utf8_length(struct span s)
{
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    const unsigned char *at = (const unsigned char *)s.at;

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].first_min || at[0] > forms[i].first_max)
            continue;
        size_t length = forms[i].length;
        if (s.len < length ||
            (length > 1 && (at[1] < forms[i].second_min || at[1] > forms[i].second_max)))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

/* Writes the first character of `s` as it must be inside quotes, and returns how many octets of `s`
 * it is. */
static size_t escape_one(struct span s, char word[8], size_t *len)
{
    unsigned char c = (unsigned char)s.at[0];
    size_t n = out.format == LOG_JSON ? utf8_length(s) : c < 0x80;
    bool control = c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)s.at[1] < 0xa0);

    if (c == '"' || c == '\\') {
        *len = (size_t)snprintf(word, 8, "\\%c", c);
    } else if (n == 0 || (control && out.format == LOG_TEXT)) {
        *len = (size_t)snprintf(word, 8, out.format == LOG_JSON ? "\\\\x%02x" : "\\x%02x", c);
        return 1;
    } else if (control) { /* of two octets: U+0080 to U+009F, which terminals obey too */
        *len = (size_t)snprintf(word, 8, "\\u%04x", n == 2 ? (unsigned char)s.at[1] : c);
    } else {
        memcpy(word, s.at, n);
        *len = n;
    }
    return n;
}

static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] > '~' || s.at[i] == '"' || s.at[i] == '\\')
            return false;
    return s.len != 0;
}

/* The octets at the start of `s` that stand for themselves inside quotes. */
static size_t plain_run(struct span s)
{
    size_t n = 0;

    while (n < s.len && s.at[n] >= ' ' && s.at[n] <= '~' && s.at[n] != '"' && s.at[n] != '\\')
        n++;
    return n;
}

/* Writes a value, cut at `max` octets as written: escaped and in `quote`s, or unchanged if there
 * are no quotes. */
static void put_value(struct log_line *l, struct span value, size_t max, bool escape,
                      const char *quote)
{
    size_t room = room_left(l);
    char word[8];

    if (max > room)
        max = room;
    /* the limit of the value itself, with room for these after it */
    size_t end = l->len + max - strlen("\"...\"");
    put_string(l, quote);
    while (value.len) {
        const char *at = value.at;
        size_t used = escape ? plain_run(value) : value.len, len = used, left = end - l->len;
        if (len > left && left > 0) {
            len = used = left;
        } else if (len == 0) {
            used = escape_one(value, word, &len);
            at = word;
        }
        if (l->len + len > end) {
            put_string(l, "...");
            break;
        }
        put(l, at, len);
        value = span_after(value, used);
    }
    put_string(l, quote);
}

enum {
    VALUE_LEAST = 32
}; /* with less room than this, drop the field instead of cutting its value */

/* Writes the key and the separator before the value; false when there is no room for the field. */
static bool put_key(struct log_line *l, const char *key)
{
    struct span name = span_of(key);
    size_t begin = l->len;
    bool ok = l->on && room_left(l) > name.len + VALUE_LEAST + sizeof(DIM PLAIN);

    if (!ok)
        return false;
    if (out.format == LOG_JSON) {
        ok = put_string(l, ",\"") && put(l, name.at, name.len) && put_string(l, "\":");
    } else if (out.colour) {
        ok = put_string(l, " " DIM) && put(l, name.at, name.len) && put_string(l, "=" PLAIN);
    } else { /* there is room for it, and it is the usual case */
        char *at = l->text + l->len;
        *at++ = ' ';
        memcpy(at, name.at, name.len);
        at[name.len] = '=';
        l->len += (uint16_t)(name.len + 2);
    }
    if (!ok)
        l->len = (uint16_t)begin;
    return ok;
}

/* ---- Lines ---- */

/* The time of day for a person at a terminal. */
static void put_clock(struct log_line *l)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    char text[16];

    localtime_r(&now, &tm);
    put(l, text, strftime(text, sizeof text, "%H:%M:%S", &tm));
}

/* RFC 3339, UTC, with milliseconds. */
static void put_timestamp(struct log_line *l)
{
    uint64_t ms = clock_wall_ms();
    time_t now = (time_t)(ms / 1000);
    struct tm tm;
    char text[40];

    gmtime_r(&now, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03uZ", (unsigned)(ms % 1000));
    put_string(l, text);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    l->on = log_wants(level);
    l->level = (uint8_t)level;
    l->len = 0;
    if (!l->on)
        return;

    if (out.format == LOG_JSON) {
        put_string(l, "{\"time\":\"");
        put_timestamp(l);
        put_string(l, "\",\"level\":\"");
        put_string(l, levels[level].name);
        put_string(l, "\",\"event\":\"");
        put_string(l, event);
        put_string(l, "\"");
        if (out.role[0])
            log_text(l, "role", out.role);
    } else if (out.colour) {
        put_string(l, DIM);
        put_clock(l);
        put_string(l, PLAIN " ");
        put_string(l, levels[level].colour);
        put_string(l, event);
        put_string(l, PLAIN);
    } else {
        put_string(l, "event=");
        put_string(l, event);
        if (level != LOG_INFO)
            log_text(l, "level", levels[level].name);
    }
}

void log_span(struct log_line *l, const char *key, struct span value)
{
    bool quoted = out.format == LOG_JSON || !is_plain(value);

    if (!put_key(l, key))
        return;
    /* what put_value() would not cut; nearly all values */
    bool whole =
        value.len + VALUE_LEAST <= LOG_VALUE_MAX && value.len + VALUE_LEAST <= room_left(l);
    if (quoted || !whole)
        put_value(l, value, LOG_VALUE_MAX, quoted, quoted ? "\"" : "");
    else
        put(l, value.at, value.len);
}

void log_text(struct log_line *l, const char *key, const char *value)
{
    log_span(l, key, span_of(value));
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
    char text[24] = "-", *at = text + (value < 0);
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    if (put_key(l, key))
        put(l, text, (size_t)(write_decimal(size, 1, at) - text));
}

void log_addr(struct log_line *l, const char *key, const struct addr *value)
{
    char text[ADDR_TEXT];

    log_text(l, key, addr_format(value, text));
}

void log_seconds(struct log_line *l, const char *key, uint64_t ms)
{
    char text[32], *at = text;
    uint64_t tenths = ms / 100 + (ms % 100 >= 50);

    at = write_decimal(tenths / 10, 1, at);
    *at++ = '.';
    at = write_decimal(tenths % 10, 1, at);
    if (out.format != LOG_JSON)
        *at++ = 's';
    if (put_key(l, key))
        put(l, text, (size_t)(at - text));
}

/* Keeps the line (without its newline) in the ring. A line for a terminal becomes plain first:
 * colours are removed, and "event=" replaces the time (see log_begin()). No field contains an
 * escape octet. */
static void keep(const struct log_line *l, size_t len)
{
    static const char head[] = "event=";
    char plain[LOG_LINE_MAX]; /* not initialized: that would cost a page each line */
    size_t n = sizeof head - 1, from = sizeof(DIM "00:00:00" PLAIN " ") - 1;

    if (!out.colour) {
        log_ring_put(out.ring, clock_wall_ms(), l->level, (struct span){l->text, len});
        return;
    }
    memcpy(plain, head, n);
    while (from < len && n < sizeof plain) {
        if (l->text[from] == '\033') {
            const char *end = memchr(l->text + from, 'm', len - from);
            from = end ? (size_t)(end - l->text) + 1 : len;
        } else {
            plain[n++] = l->text[from++];
        }
    }
    log_ring_put(out.ring, clock_wall_ms(), l->level, (struct span){plain, n});
}

void log_end(struct log_line *l)
{
    size_t n = out.tail_len;

    if (!l->on)
        return;
    memcpy(l->text + l->len, out.tail, n);
    l->text[l->len + n] = '\n';
    if (out.ring && l->level >= LOG_INFO)
        keep(l, l->len + n);
    if (l->level < out.level)
        return;
    if (write(out.fd, l->text, l->len + n + 1) < 0)
        return; /* there is no further place to report it */
}

/* ---- Sentences ---- */

__attribute__((format(printf, 2, 0))) static void notice(enum log_level level, const char *format,
                                                         va_list args)
{
    struct log_line l;
    char sentence[LOG_LINE_MAX];

    log_begin(&l, level, "notice");
    if (!l.on)
        return;
    vsnprintf(sentence, sizeof sentence, format, args);
    if (out.colour && put_string(&l, " "))
        put_value(&l, span_of(sentence), LOG_LINE_MAX, true, "");
    else if (put_key(&l, "text"))
        put_value(&l, span_of(sentence), LOG_LINE_MAX, true, "\"");
    log_end(&l);
}

#define SENTENCE(name, level)                                                                      \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        notice(level, format, args);                                                               \
        va_end(args);                                                                              \
    }

SENTENCE(log_debug, LOG_DEBUG)
SENTENCE(log_info, LOG_INFO)
SENTENCE(log_warn, LOG_WARN)
SENTENCE(log_error, LOG_ERROR)

bool log_is_due(uint64_t *told_ms, uint64_t every_ms, uint64_t now)
{
    bool from_future = *told_ms > now + every_ms; /* the clock was set back */

    if (*told_ms && now < *told_ms + every_ms && !from_future)
        return false;
    *told_ms = now ? now : 1;
    return true;
}
