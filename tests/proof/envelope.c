/* Envelopes in their block on the heap: made by each of their functions from texts of any octets,
 * read again, and taken from blocks of any octets, as a damaged file of frozen holds has them.
 * Allocations may fail. */
#define MIRED_PROOF_OCTETS 5
#include "any_text.h"

#include "smtp/envelope.h"

static void read_all(const struct envelope *e)
{
    struct envelope_recipient r = {.next = 0};
    struct span address;

    (void)envelope_helo(e);
    (void)envelope_login(e);
    (void)envelope_get_sender(e, &address);
    (void)envelope_sender(e);
    (void)envelope_recipients(e);
    (void)envelope_sender_params(e);
    (void)envelope_note(e);
    (void)envelope_note_params(e);
    for (int i = 0; i < 3 && envelope_next(e, &r); i++)
        continue;
}

static void from_block(struct span in)
{
    struct envelope e = {.recipients = 0}, copy = {.recipients = 0};

    if (envelope_from_block(&e, in) == 0) {
        //@ assert whole_block: e.text.len == in.len;
        read_all(&e);
        if (envelope_copy(&copy, &e) == 0)
            envelope_free(&copy);
    }
    envelope_reset(&e);
    envelope_free(&e);
}

static void make(struct span in)
{
    struct envelope e = {.recipients = 0};
    struct span none = {"", 0}, kept;

    if (envelope_set_helo(&e, in) == 0 && envelope_set_login(&e, none) == 0 &&
        envelope_set_sender(&e, in, none) == 0 && envelope_add_recipient(&e, in, none) == 0 &&
        envelope_propose(&e, in, none) == 0) {
        envelope_accept(&e);
        read_all(&e);
        if (envelope_set_note(&e, in, &kept) == 0)
            envelope_drop_note(&e);
    }
    envelope_fit(&e);
    envelope_free(&e);
}

static void follow(struct span in)
{
    if (any_choice)
        from_block(in);
    else if (in.len <= 2)
        make(in);
}
