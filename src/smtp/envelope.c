/* The envelope's block: records in a row, each with two texts.
 *
 *     kind 4 bits | length of first 14 | length of second 14 | first | second
 *
 * At most one HELO (first: its name, second: the account of a login), then at most one SENDER and
 * any RECIPIENTs (first: address, second: parameters), then at most one NOTE or PROPOSED recipient,
 * which is always the last. So HELO and the sender are found at the beginning and the note at the
 * end; recipients are read in order.
 *
 * Owns one heap block through its buf. No I/O. Runs in workers, the store and tests. */
#include "smtp/envelope.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum kind { KIND_HELO = 1, KIND_SENDER, KIND_RECIPIENT, KIND_NOTE, KIND_PROPOSED };

enum { HEAD = 4, KIND_BITS = 4, LENGTH_BITS = 14 };

static_assert(ENVELOPE_TEXT_MAX < 1 << LENGTH_BITS, "a head holds it");

/* A larger block, as of a message to many recipients, is freed after that message. */
enum { SPARE_MAX = 4096 };

struct record {
    enum kind kind;
    struct span first, second;
    uint32_t size; /* of the whole record; 0: no record */
};

/* The record at `at`; size 0 when the block ends before it does. */
static struct record record_at(struct span block, uint32_t at)
{
    struct record r = {.size = 0};
    struct span rest = span_after(block, at);
    if (rest.len < HEAD)
        return r;
    uint32_t head;
    memcpy(&head, rest.at, sizeof head);
    const size_t first = head >> KIND_BITS & ENVELOPE_TEXT_MAX;
    const size_t second = head >> (KIND_BITS + LENGTH_BITS);
    if (rest.len - HEAD < first + second)
        return r;
    r.kind = (enum kind)(head % (1 << KIND_BITS));
    r.first = (struct span){rest.at + HEAD, first};
    r.second = (struct span){rest.at + HEAD + first, second};
    r.size = (uint32_t)(HEAD + first + second);
    return r;
}

/* The size of the record at `at`, if it is of this kind, and its head; else 0. Each message reads its
 * sender about thirty times, so this does less than record_at(). */
static inline uint32_t size_with_head(struct span block, uint32_t at, enum kind kind,
                                      uint32_t *head)
{
    if (at > block.len || block.len - at < HEAD)
        return 0;
    memcpy(head, block.at + at, sizeof *head);
    const size_t texts =
        (*head >> KIND_BITS & ENVELOPE_TEXT_MAX) + (*head >> (KIND_BITS + LENGTH_BITS));
    bool whole = block.len - at - HEAD >= texts;
    return whole && *head % (1 << KIND_BITS) == kind ? (uint32_t)(HEAD + texts) : 0;
}

/* The size of the record at `at`, if it is of this kind; else 0. */
static inline uint32_t size_at(struct span block, uint32_t at, enum kind kind)
{
    uint32_t head;
    return size_with_head(block, at, kind, &head);
}

static struct record helo_of(const struct envelope *e)
{
    struct record r = record_at(buf_span(&e->text), 0);
    return r.size && r.kind == KIND_HELO ? r : (struct record){.size = 0};
}

static struct record sender_of(const struct envelope *e)
{
    struct span block = buf_span(&e->text);
    struct record r = record_at(block, size_at(block, 0, KIND_HELO));
    return r.size && r.kind == KIND_SENDER ? r : (struct record){.size = 0};
}

/* The offset of the first recipient, or of the next one. */
static uint32_t recipients_at(const struct envelope *e)
{
    struct span block = buf_span(&e->text);
    uint32_t helo = size_at(block, 0, KIND_HELO);
    return helo + size_at(block, helo, KIND_SENDER);
}

/* The offset of `s` in the envelope's own block; SIZE_MAX if it is not in it. */
static size_t own_offset(const struct envelope *e, struct span s)
{
    uintptr_t at = (uintptr_t)s.at, block = (uintptr_t)e->text.at;
    return e->text.len && at >= block && at < block + e->text.len ? at - block : SIZE_MAX;
}

static char *put(char *to, const struct envelope *e, struct span s, size_t own)
{
    if (s.len)
        memcpy(to, own == SIZE_MAX ? s.at : e->text.at + own, s.len);
    return to + s.len;
}

static void put_head(char *to, enum kind kind, struct span first, struct span second)
{
    const uint32_t head =
        kind | (uint32_t)first.len << KIND_BITS | (uint32_t)second.len << (KIND_BITS + LENGTH_BITS);
    memcpy(to, &head, sizeof head);
}

/* Replaces everything from `at` on with one record. The record is first written after the old end,
 * because its texts may be in the replaced part, and so that nothing is lost without memory. */
static int rewrite(struct envelope *e, uint32_t at, enum kind kind, struct span first,
                   struct span second)
{
    assert(first.len <= ENVELOPE_TEXT_MAX && second.len <= ENVELOPE_TEXT_MAX);
    const size_t size = HEAD + first.len + second.len;
    const size_t own_first = own_offset(e, first), own_second = own_offset(e, second);
    char *record = buf_room(&e->text, size);
    if (!record)
        return -ENOMEM;
    put_head(record, kind, first, second);
    char *end = put(record + HEAD, e, first, own_first);
    put(end, e, second, own_second);
    memmove(e->text.at + at, record, size);
    e->text.len = at + (uint32_t)size;
    e->note = kind >= KIND_NOTE ? (uint32_t)size : 0;
    return 0;
}

/* The offset of the note, or of the next one. */
static uint32_t note_at(const struct envelope *e)
{
    return e->text.len - e->note;
}

static void cut(struct envelope *e, uint32_t at)
{
    e->text.len = at;
    e->note = 0;
}

int envelope_set_helo(struct envelope *e, struct span name)
{
    int result = rewrite(e, 0, KIND_HELO, name, helo_of(e).second);
    if (!result)
        e->recipients = 0;
    return result;
}

int envelope_set_login(struct envelope *e, struct span account)
{
    assert(!envelope_has_sender(e));
    return rewrite(e, 0, KIND_HELO, helo_of(e).first, account);
}

int envelope_set_sender(struct envelope *e, struct span address, struct span params)
{
    int result = rewrite(e, helo_of(e).size, KIND_SENDER, address, params);
    if (!result)
        e->recipients = 0;
    return result;
}

int envelope_add_recipient(struct envelope *e, struct span address, struct span params)
{
    int result = rewrite(e, note_at(e), KIND_RECIPIENT, address, params);
    if (!result)
        e->recipients++;
    return result;
}

int envelope_set_note(struct envelope *e, struct span note, struct span *kept)
{
    int result = rewrite(e, note_at(e), KIND_NOTE, note, (struct span){0});
    if (!result && kept)
        *kept = envelope_note(e);
    return result;
}

int envelope_propose(struct envelope *e, struct span address, struct span params)
{
    return rewrite(e, note_at(e), KIND_PROPOSED, address, params);
}

void envelope_accept(struct envelope *e)
{
    struct record r = record_at(buf_span(&e->text), note_at(e));
    assert(e->note && r.kind == KIND_PROPOSED);
    put_head(e->text.at + note_at(e), KIND_RECIPIENT, r.first, r.second);
    e->note = 0;
    e->recipients++;
}

void envelope_drop_note(struct envelope *e)
{
    cut(e, note_at(e));
}

void envelope_fit(struct envelope *e)
{
    buf_fit(&e->text);
}

struct span envelope_helo(const struct envelope *e)
{
    return helo_of(e).first;
}

struct span envelope_login(const struct envelope *e)
{
    return helo_of(e).second;
}

bool envelope_get_sender(const struct envelope *e, struct span *address)
{
    struct span block = buf_span(&e->text);
    uint32_t at = size_at(block, 0, KIND_HELO), head;
    bool any = size_with_head(block, at, KIND_SENDER, &head);

    *address = any ? (struct span){block.at + at + HEAD, head >> KIND_BITS & ENVELOPE_TEXT_MAX}
                   : (struct span){0};
    return any;
}

bool envelope_has_sender(const struct envelope *e)
{
    struct span address;
    return envelope_get_sender(e, &address);
}

struct span envelope_sender(const struct envelope *e)
{
    struct span address;
    (void)envelope_get_sender(e, &address);
    return address;
}

struct span envelope_sender_params(const struct envelope *e)
{
    return sender_of(e).second;
}

struct span envelope_note_params(const struct envelope *e)
{
    return e->note ? record_at(buf_span(&e->text), note_at(e)).second : (struct span){0};
}

struct span envelope_note(const struct envelope *e)
{
    return e->note ? record_at(buf_span(&e->text), note_at(e)).first : (struct span){0};
}

uint32_t envelope_recipients(const struct envelope *e)
{
    return e->recipients;
}

bool envelope_next(const struct envelope *e, struct envelope_recipient *r)
{
    uint32_t at = r->next ? r->next : recipients_at(e);
    struct record record = record_at(buf_span(&e->text), at);
    if (!record.size || record.kind != KIND_RECIPIENT)
        return false;
    *r = (struct envelope_recipient){record.first, record.second, at + record.size};
    return true;
}

void envelope_reset(struct envelope *e)
{
    cut(e, helo_of(e).size);
    e->recipients = 0;
    if (e->text.cap > SPARE_MAX)
        buf_fit(&e->text);
}

void envelope_free(struct envelope *e)
{
    buf_free(&e->text);
    *e = (struct envelope){0};
}

int envelope_copy(struct envelope *to, const struct envelope *from)
{
    return envelope_from_block(to, envelope_block(from));
}

struct span envelope_block(const struct envelope *e)
{
    return buf_span(&e->text);
}

/* Counts and checks records: only recipients may come more than once, and kinds never decrease. */
static bool block_is_sound(struct span block, uint32_t *note, uint32_t *recipients)
{
    enum kind last = 0;
    *note = *recipients = 0;
    for (uint32_t at = 0; at < block.len;) {
        struct record r = record_at(block, at);
        bool in_order = r.kind > last || (r.kind == KIND_RECIPIENT && last == KIND_RECIPIENT);
        if (!r.size || !in_order || r.kind > KIND_PROPOSED || *note)
            return false;
        if (r.kind == KIND_RECIPIENT)
            ++*recipients;
        if (r.kind >= KIND_NOTE)
            *note = r.size;
        last = r.kind;
        at += r.size;
    }
    return true;
}

int envelope_from_block(struct envelope *to, struct span block)
{
    uint32_t note, recipients;
    envelope_free(to);
    if (block.len > INT32_MAX || !block_is_sound(block, &note, &recipients))
        return -EBADMSG;
    if (buf_add_span(&to->text, block))
        return -ENOMEM;
    to->note = note;
    to->recipients = recipients;
    return 0;
}
