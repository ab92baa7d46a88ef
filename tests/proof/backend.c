/* What a backend says: its replies in one piece of any octets, its extensions and the attributes of
 * XCLIENT; and replies that are kept. The texts are on the heap, and allocations may fail. */
#define MIRED_PROOF_OCTETS 4 /* the shortest reply has so many */
#include "any_text.h"

#include "smtp/ability.h"
#include "smtp/kept.h"
#include "smtp/reader.h"
#include "smtp/xclient.h"

static void replies(struct span in)
{
    struct reply_reader r = {.code = any_choice ? Frama_C_unsigned_int_interval(200, 599) : 0,
                             .octets = Frama_C_unsigned_int_interval(0, READER_REPLY_MAX)};
    struct span rest = in;
    struct reply reply;

    if (reader_take(&r, &rest, &reply) == READER_REPLY) {
        //@ assert code_of_smtp: 200 <= reply.code <= 599;
        //@ assert text_was_there: reply.arg.len <= in.len;
    }
    //@ assert what_is_left_was_there: rest.len <= in.len;
    reader_free(&r);
}

static void abilities(struct span in)
{
    struct ability a = {.caps = 0};

    ability_learn(&a, in);
    (void)ability_of_word(ability_word(&a));
    (void)xclient_attributes(in);
}

static struct reply any_reply(struct span arg)
{
    return (struct reply){.id = (uint16_t)any_number,
                          .code = Frama_C_unsigned_int_interval(200, 599),
                          .enhanced = {any_number, any_number, any_number},
                          .arg = arg};
}

static void keep(struct span in)
{
    struct reply r = any_reply(in);
    struct kept_reply k = {.code = 0};

    if (kept_set(&k, &r) == 0) {
        struct reply again = kept_get(&k);
        //@ assert kept_all: again.arg.len == in.len;
    }
    kept_free(&k);
}

static void follow(struct span in)
{
    switch (any_choice) {
    case 0: replies(in); break;
    case 1: /* each octet more multiplies the paths by the names of extensions */
        if (in.len <= 2)
            abilities(in);
        break;
    default: keep(in);
    }
}
