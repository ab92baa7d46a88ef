/* Stand-ins for a session's envelope (smtp/envelope.h) and its scanner (smtp/data.h): any content. */
#include "any_smtp.h"

#include <errno.h>

#include "smtp/data.h"
#include "smtp/envelope.h"

bool any_proposed;

static int rewrite(struct span first, struct span second, bool proposed)
{
    //@ assert texts_fit: first.len <= ENVELOPE_TEXT_MAX && second.len <= ENVELOPE_TEXT_MAX;
    proof_reads(first);
    proof_reads(second);
    if (any_memory())
        return -ENOMEM;
    any_proposed = proposed;
    return 0;
}

int envelope_set_helo(struct envelope *e, struct span name)
{
    return rewrite(name, (struct span){0}, false);
}

int envelope_set_sender(struct envelope *e, struct span address, struct span params)
{
    return rewrite(address, params, false);
}

int envelope_set_note(struct envelope *e, struct span note, struct span *kept)
{
    return rewrite(note, (struct span){0}, false);
}

int envelope_propose(struct envelope *e, struct span address, struct span params)
{
    return rewrite(address, params, true);
}

void envelope_accept(struct envelope *e)
{
    //@ assert there_is_one: any_proposed == 1;
    any_proposed = false;
}

void envelope_drop_note(struct envelope *e)
{
    any_proposed = false;
}

void envelope_fit(struct envelope *e)
{
}

/* A text to compare with, while a recipient is asked for; else each length is a path of its own. */
struct span envelope_note(const struct envelope *e)
{
    struct span note = any_words();

    if (any_proposed)
        return SPAN("a@b");
    for (size_t len = 0; len < ANY_WORDS; len++)
        if (any_choice)
            return span_first(note, len);
    return (struct span){note.at, ANY_WORDS};
}

struct span envelope_login(const struct envelope *e)
{
    return any_words();
}

bool envelope_has_sender(const struct envelope *e)
{
    return any_choice & 1;
}

uint32_t envelope_recipients(const struct envelope *e)
{
    return (uint32_t)Frama_C_interval(0, ENVELOPE_RECIPIENTS_MAX);
}

void envelope_reset(struct envelope *e)
{
    any_proposed = false;
}

void envelope_free(struct envelope *e)
{
    any_proposed = false;
}

struct span envelope_block(const struct envelope *e)
{
    return any_words();
}

int envelope_from_block(struct envelope *to, struct span block)
{
    proof_reads(block);
    any_proposed = any_choice & 1;
    return any_choice ? any_memory() : -EBADMSG;
}

void data_start(struct data_scan *d)
{
    *d = (struct data_scan){.line = 0};
}

static void scan_any(struct data_scan *d)
{
    d->bad = any_choice & 1;
    d->nul = any_choice & 1;
}

static size_t any_part(size_t len)
{
    for (size_t n = 0; n < len; n++)
        if (any_choice)
            return n;
    return len;
}

enum data_result data_scan(struct data_scan *d, struct span in, struct data_found *found)
{
    proof_reads(in);
    scan_any(d);
    found->used = any_part(in.len);
    found->body = any_part(found->used);
    found->dots = any_part(found->body);
    return found->used && any_choice ? DATA_END : DATA_MORE;
}

size_t data_scan_chunk(struct data_scan *d, struct span in)
{
    proof_reads(in);
    scan_any(d);
    return any_part(in.len);
}

struct span data_chunk_owes(struct data_scan *d)
{
    return any_choice ? SPAN(".") : SPAN("");
}

bool data_chunks_end(struct data_scan *d)
{
    scan_any(d);
    return any_choice & 1;
}
