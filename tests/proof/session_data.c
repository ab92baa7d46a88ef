/* DATA and BDAT: from any session, over octets in one piece of any length up to OCTETS, and the
 * caller's answers. The scanner of messages is a stand-in (driver "data"). */
#define MIRED_PROOF_OCTETS 2
#include "any_session.h"
#include "any_text.h"

static void chunk(struct turn *t)
{
    static const char *const forms[] = {"", "?", "1? LAST", "429496729?"};
    char text[16];

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (any_choice) {
            struct span arg = any_form(forms[i], text);
            if (any_choice)
                session_bdat(t, arg);
            else
                session_refuse_chunk(t, arg);
            return;
        }
}

static void answer(struct smtp_session *s)
{
    struct reply r = any_reply(200, 599);

    if (any_choice)
        smtp_message_is(s, &r);
    else if (any_choice)
        smtp_message_next(s, &r);
    else
        smtp_body_failed(s);
}

static void wait_for(struct turn *t, uint8_t wait)
{
    t->s->wait = wait;
    any_proposed = wait == WAIT_RECIPIENT;
}

/* As smtp_step() calls them. */
static void read(struct turn *t, uint8_t reading)
{
    wait_for(t, WAIT_NOTHING);
    t->s->reading = reading;
    if (reading == READ_DATA)
        session_read_data(t);
    else if (reading == READ_CHUNK)
        session_read_chunk(t);
    else if (any_choice)
        chunk(t);
    else
        session_data(t, (struct span){0});
}

static void go_on(struct turn *t)
{
    t->s->reading = any_choice ? READ_CHUNK : READ_COMMAND;
    if (any_choice) {
        wait_for(t, WAIT_SPOOL);
        session_message_begun(t);
    } else {
        wait_for(t, WAIT_WHOLE);
        session_message_whole(t);
    }
}

static void answer_late(struct turn *t)
{
    static const uint8_t waits[] = {WAIT_NOTHING, WAIT_SPOOL,   WAIT_WHOLE,
                                    WAIT_SENT,    WAIT_MESSAGE, WAIT_END};

    for (int i = 0; i < 6; i++)
        if (any_choice) {
            wait_for(t, waits[i]);
            t->s->reading = any_choice ? READ_DATA : READ_COMMAND;
            answer(t->s);
            return;
        }
}

static void handle(struct turn *t)
{
    switch (any_choice) {
    case 0: read(t, READ_COMMAND); break;
    case 1: read(t, READ_DATA); break;
    case 2: read(t, READ_CHUNK); break;
    case 3: go_on(t); break;
    default: answer_late(t);
    }
    if (t->want == SMTP_BODY)
        proof_reads(t->step->body);
    check_session(t->s);
}

static void follow(struct span in)
{
    struct smtp_service service = any_service("mx.example.test");
    struct smtp_step step;
    struct smtp_session s = any_session(any_state(), WAIT_NOTHING, READ_COMMAND, MECHANISM_NONE);
    struct turn t = {&s, &service, in, &step, GO_ON};

    handle(&t);
}
