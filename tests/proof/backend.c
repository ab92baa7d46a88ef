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

/* A reply of two lines with enhanced codes, with any octet in one place. */
static void near_replies(void)
{
    static const char lines[] = "550-5.1.1 a\n550 5.1.1 b\n";
    char room[sizeof lines - 1];
    struct reply_reader r = {.code = 0};
    struct reply reply;

    memcpy(room, lines, sizeof room);
    for (size_t at = 0; at < sizeof room; at++)
        if (any_choice) {
            struct span in = {room, sizeof room};
            Frama_C_make_unknown(room + at, 1);
            if (reader_take(&r, &in, &reply) == READER_REPLY) {
                //@ assert code_of_lines: 200 <= reply.code <= 599;
            }
            reader_free(&r);
            return;
        }
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
    case 2: near_replies(); break;
    default: keep(in);
    }
}
