/* The parts of Redis' replies (replies.h). */
#include "fleet/replies.h"

#include <string.h>
#include <strings.h>

/* ---- the reader ---- */

static redisReplyObjectFunctions functions;
static void *(*create_array)(const redisReadTask *, int);

static void *bounded_array(const redisReadTask *task, int elements)
{
    return elements <= REPLIES_ELEMENTS ? create_array(task, elements) : NULL;
}

/* hiredis gives its functions only with a reader. They are the same for all readers. */
redisReader *replies_reader(void)
{
    redisReader *r = redisReaderCreate();

    if (!r)
        return NULL;
    if (!create_array) {
        functions = *r->fn;
        create_array = functions.createArray;
        functions.createArray = bounded_array;
    }
    r->fn = &functions;
    return r;
}

/* ---- texts and errors ---- */

struct span reply_text(const redisReply *r)
{
    if (!r || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS) || !r->str)
        return (struct span){0};
    return (struct span){r->str, (size_t)r->len};
}

static bool is_array(const redisReply *r, size_t least)
{
    return r && r->type == REDIS_REPLY_ARRAY && r->elements >= least;
}

enum reply_error reply_error(const redisReply *r)
{
    static const struct {
        const char *word;
        enum reply_error means;
    } table[] = {
        {"MOVED", REPLY_MOVED},         {"ASK", REPLY_MOVED},
        {"READONLY", REPLY_READ_ONLY},  {"NOREPLICAS", REPLY_READ_ONLY},
        {"UNBLOCKED", REPLY_READ_ONLY}, {"OOM", REPLY_FULL},
        {"MISCONF", REPLY_FULL},        {"LOADING", REPLY_BUSY},
        {"BUSY", REPLY_BUSY},           {"TRYAGAIN", REPLY_BUSY},
        {"CLUSTERDOWN", REPLY_BUSY},    {"MASTERDOWN", REPLY_BUSY},
        {"NOAUTH", REPLY_FORBIDDEN},    {"WRONGPASS", REPLY_FORBIDDEN},
        {"NOPERM", REPLY_FORBIDDEN},    {"WRONGTYPE", REPLY_TYPE},
    };

    if (!r || r->type != REDIS_REPLY_ERROR)
        return REPLY_FINE;
    struct span text = {r->str, r->str ? (size_t)r->len : 0};
    struct span word = span_first(text, span_find(text, ' '));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (span_equal(word, span_of(table[i].word)))
            return table[i].means;
    return REPLY_OTHER;
}

/* "HOST:PORT", the host possibly empty or an IPv6 address without brackets. */
static bool read_place(struct span s, struct reply_place *to)
{
    uint64_t port;
    size_t colon = s.len;

    while (colon > 0 && s.at[colon - 1] != ':')
        colon--;
    if (colon == 0 || colon > sizeof to->host || !span_number(span_after(s, colon), &port) ||
        port == 0 || port > 65535 || memchr(s.at, '\0', colon))
        return false;
    memcpy(to->host, s.at, colon - 1);
    to->host[colon - 1] = '\0';
    to->port = (uint16_t)port;
    return true;
}

bool reply_moved(const redisReply *r, struct reply_place *to)
{
    uint64_t slot;

    if (reply_error(r) != REPLY_MOVED || !r->str)
        return false;
    struct span text = {r->str, (size_t)r->len};
    to->ask = span_starts_fold(text, SPAN("ASK"));
    text = span_after(text, span_find(text, ' ') + 1);
    size_t end = span_find(text, ' ');
    if (!span_number(span_first(text, end), &slot) || slot >= REDIS_SLOTS)
        return false;
    to->slot = (uint32_t)slot;
    return read_place(span_after(text, end + 1), to);
}

bool reply_is_master(const redisReply *r)
{
    return is_array(r, 1) && span_equal(reply_text(r->element[0]), SPAN("master"));
}

uint64_t reply_time_ms(const redisReply *r)
{
    uint64_t s, us;

    if (!is_array(r, 2) || !span_number(reply_text(r->element[0]), &s) ||
        !span_number(reply_text(r->element[1]), &us) || s > UINT64_C(1) << 40 || us >= 1000000)
        return 0;
    return s * 1000 + us / 1000;
}

uint64_t reply_info(const redisReply *r, const char *name)
{
    struct span text = reply_text(r), wanted = span_of(name);
    uint64_t n = 0;

    while (text.len) {
        size_t end = span_find(text, '\n'), colon;
        struct span line = span_first(text, end);
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        colon = span_find(line, ':');
        if (span_equal(span_first(line, colon), wanted))
            span_number(span_after(line, colon + 1), &n);
        text = span_after(text, end + 1);
    }
    return n;
}

static bool copy_host(struct span host, uint64_t port, struct reply_place *at)
{
    if (host.len >= sizeof at->host || port == 0 || port > 65535 ||
        (host.len && memchr(host.at, '\0', host.len)))
        return false;
    if (host.len)
        memcpy(at->host, host.at, host.len);
    at->host[host.len] = '\0';
    at->port = (uint16_t)port;
    return true;
}

bool reply_master(const redisReply *r, struct reply_place *at)
{
    uint64_t port;

    return is_array(r, 2) && span_number(reply_text(r->element[1]), &port) &&
           reply_text(r->element[0]).len > 0 && copy_host(reply_text(r->element[0]), port, at);
}

static bool read_integer(const redisReply *r, uint64_t most, uint64_t *n)
{
    if (!r || r->type != REDIS_REPLY_INTEGER || r->integer < 0 || (uint64_t)r->integer > most)
        return false;
    *n = (uint64_t)r->integer;
    return true;
}

bool reply_slots(const redisReply *r,
                 void (*range)(void *arg, uint32_t first, uint32_t last,
                               const struct reply_place *at),
                 void *arg)
{
    if (!is_array(r, 0))
        return false;
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *one = r->element[i];
        struct reply_place at = {0};
        uint64_t first, last, port;
        if (!is_array(one, 3) || !read_integer(one->element[0], REDIS_SLOTS - 1, &first) ||
            !read_integer(one->element[1], REDIS_SLOTS - 1, &last) || first > last)
            continue;
        const redisReply *node = one->element[2];
        if (is_array(node, 2) && read_integer(node->element[1], 65535, &port) &&
            copy_host(reply_text(node->element[0]), port, &at))
            range(arg, (uint32_t)first, (uint32_t)last, &at);
    }
    return true;
}

void reply_fields(const redisReply *r,
                  void (*field)(void *arg, struct span name, struct span value), void *arg)
{
    for (size_t i = 0; is_array(r, 0) && i + 1 < r->elements; i += 2) {
        struct span name = reply_text(r->element[i]), value = reply_text(r->element[i + 1]);
        if (name.len && name.len <= REPLIES_NAME)
            field(arg, name, value);
    }
}

/* ---- streams ---- */

bool stream_id_read(struct span text, struct stream_id *id)
{
    size_t dash = span_find(text, '-');
    return span_number(span_first(text, dash), &id->ms) &&
           span_number(span_after(text, dash + 1), &id->n);
}

int stream_id_compare(const struct stream_id *a, const struct stream_id *b)
{
    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    return a->n == b->n ? 0 : a->n < b->n ? -1 : 1;
}

static bool read_entry(const redisReply *r, struct stream_entry *e)
{
    *e = (struct stream_entry){0};
    if (!is_array(r, 2) || !stream_id_read(reply_text(r->element[0]), &e->id))
        return false;
    const redisReply *fields = r->element[1];
    for (size_t i = 0; is_array(fields, 0) && i + 1 < fields->elements; i += 2) {
        struct span name = reply_text(fields->element[i]);
        struct span value = reply_text(fields->element[i + 1]);
        if (name.len != 1)
            continue;
        switch (name.at[0]) {
        case 'm': e->member = value.len <= REPLIES_NAME ? value : (struct span){0}; break;
        case 't': span_number(value, &e->sent_ms); break;
        case 'n': span_number(value, &e->number); break;
        case 'h': e->hello = value; break;
        case 's': e->shares = value; break;
        case 'o': e->order = value; break;
        case 'l': e->standing = value; break;
        case 'd': e->settled = value; break;
        case 'a': e->accounts = value; break;
        default: break; /* of a later version */
        }
    }
    return true;
}

unsigned reply_entries(const redisReply *r, bool read,
                       void (*entry)(void *arg, const struct stream_entry *e), void *arg)
{
    struct stream_entry e;
    unsigned n = 0;

    if (read) /* [[stream, entries]] */
        r = is_array(r, 1) && is_array(r->element[0], 2) ? r->element[0]->element[1] : NULL;
    for (size_t i = 0; is_array(r, 0) && i < r->elements; i++)
        if (read_entry(r->element[i], &e)) {
            entry(arg, &e);
            n++;
        }
    return n;
}

/* ---- slots ---- */

uint32_t redis_slot(struct span key)
{
    size_t open = span_find(key, '{');
    struct span within = span_after(key, open + 1);
    size_t close = span_find(within, '}');
    uint16_t crc = 0;

    if (open < key.len && close > 0 && close < within.len)
        key = span_first(within, close);
    for (size_t i = 0; i < key.len; i++) {
        crc ^= (uint16_t)((uint8_t)key.at[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc % REDIS_SLOTS;
}
