/* The steps of a session: from any session, over octets in one piece of any length up to OCTETS, lines of
 * the forms below, in which '?' is any octet, and lines that are too long. The handlers of commands and the
 * readers of responses and messages are stand-ins: they leave any session, with any reply or request. The
 * comparison of verbs is one, too (any_smtp.h): a word may be each command that begins with its letter. */
#define MIRED_PROOF_OCTETS 2
#include "any_session.h"
#include "any_text.h"

/* Each state is a path of its own: its refusals have texts of different lengths. */
static uint8_t each_state(void)
{
    for (uint8_t state = 0; state < STATE_COUNT - 1; state++)
        if (any_choice)
            return state;
    return STATE_COUNT - 1;
}

static struct smtp_session session_with(uint8_t state, uint8_t wait)
{
    return any_session(state, wait, (uint8_t)Frama_C_interval(0, READ_COUNT - 1),
                       (uint8_t)Frama_C_interval(MECHANISM_PLAIN, MECHANISM_COUNT - 1));
}

/* Makes any reply pending, asks the caller for something, or needs more octets. */
static void act(struct turn *t)
{
    struct reply r = any_reply(200, 599);

    *t->s = session_with(any_state(), WAIT_NOTHING);
    any_proposed = false;
    if (any_choice) {
        t->want = SMTP_RECIPIENT;
        t->s->wait = WAIT_RECIPIENT;
        any_proposed = true;
    } else if (any_choice) {
        t->want = Frama_C_interval(SMTP_PASSWORD, SMTP_MESSAGE_VOID);
        t->s->wait = Frama_C_interval(WAIT_PASSWORD, WAIT_MESSAGE) & 15;
    } else if (any_choice) {
        t->want = any_choice ? SMTP_BODY : SMTP_INPUT;
    } else {
        r.id = (uint16_t)Frama_C_interval(0, REPLY_COUNT - 1);
        session_tell(t->s, &r);
    }
}

static void handle(struct turn *t, struct span arg)
{
    proof_reads(arg);
    act(t);
}

/* Reads all, or an octet of few, or nothing; what is left is read next. */
static void read(struct turn *t)
{
    size_t n = 0;

    proof_reads(t->in);
    act(t);
    if (any_choice)
        n = t->in.len;
    else if (any_choice && t->in.len <= OCTETS)
        n = t->in.len > 0;
    t->in = span_after(t->in, n);
    if (n && t->want == SMTP_INPUT) {
        t->want = GO_ON;
        t->s->state = each_state();
    }
}

#define HANDLER(name)                                                                              \
    void session_##name(struct turn *t, struct span arg)                                           \
    {                                                                                              \
        handle(t, arg);                                                                            \
    }
HANDLER(helo)
HANDLER(ehlo)
HANDLER(lhlo)
HANDLER(starttls)
HANDLER(rset)
HANDLER(quit)
HANDLER(mail)
HANDLER(rcpt)
HANDLER(auth)
HANDLER(data)
HANDLER(bdat)
HANDLER(refuse_chunk)

void session_read_auth(struct turn *t)
{
    read(t);
}

void session_read_data(struct turn *t)
{
    read(t);
}

void session_read_chunk(struct turn *t)
{
    read(t);
}

void session_message_begun(struct turn *t)
{
    act(t);
}

void session_message_whole(struct turn *t)
{
    act(t);
}

struct span session_auth_prompt(const struct smtp_session *s)
{
    return any_words();
}

static void check_reply(const struct reply *r)
{
    unsigned id = r->id;

    //@ assert row: id < REPLY_COUNT;
    proof_reads(r->arg);
}

static void step(struct smtp_session *s, const struct smtp_service *service, struct span in)
{
    struct smtp_step found;
    size_t used;
    enum smtp_want want = smtp_step(s, service, in, &used, &found);
    unsigned wait = s->wait;

    //@ assert of_the_input: used <= in.len;
    if (want == SMTP_REPLY) {
        //@ assert told: wait == WAIT_SENT;
        check_reply(&found.reply);
        struct reply again;
        if (smtp_reply_again(s, service, &again))
            check_reply(&again);
    } else if (want == SMTP_END) {
        //@ assert over: wait == WAIT_END;
    }
    check_session(s);
    exit(0); /* the path ends: nothing is joined with it */
}

/* A line that fills what it may have, and one that is longer. */
static void step_long(struct smtp_session *s, const struct smtp_service *service)
{
    char text[SMTP_LINE_MAX + 1];
    size_t len = any_choice ? SMTP_LINE_MAX : SMTP_LINE_MAX + 1;

    memset(text, 'A', sizeof text);
    if (any_choice)
        memcpy(text + len - 2, "\r\n", 2);
    step(s, service, (struct span){text, len});
}

static void step_any(struct smtp_session *s, const struct smtp_service *service, struct span in)
{
    static const char *const forms[] = {"?\r\n", "? ?\r\n", "? HTTP/\r\n", "????\n"};
    char text[16];

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (any_choice)
            step(s, service, any_form(forms[i], text));
    if (any_choice)
        step_long(s, service);
    step(s, service, in);
}

/* What others call. */
static void call(struct smtp_session *s, const struct smtp_service *service, struct turn *t)
{
    struct reply r = any_reply(200, 599);
    enum reply_id id = (enum reply_id)Frama_C_interval(0, REPLY_COUNT - 1);
    unsigned steps = Frama_C_unsigned_int_interval(0, SMTP_JUNK_STEPS);

    switch (any_choice) {
    case 0: smtp_start(s, any_choice & 1); break;
    case 1: smtp_shut(s, id); break;
    case 2: session_message_over(s, &r); break;
    case 3: session_void(s, id); break;
    case 4: session_count_vain(s, steps, (uint32_t)any_number); break;
    case 5: session_count_junk(t, steps); break;
    case 6: (void)session_count_within(t, steps); break;
    case 7: (void)session_is_endless(t, (uint32_t)any_number); break;
    case 8: session_end_junk(s); break;
    case 9: smtp_mend(s); break;
    default:
        (void)smtp_is_junk(s);
        (void)smtp_is_late(s);
        (void)smtp_octets_due(s);
        (void)smtp_in_data(s);
        (void)smtp_in_long_line(s);
        smtp_fit(s);
        smtp_free(s);
        return;
    }
    check_session(s);
    exit(0);
}

static void follow(struct span in)
{
    struct smtp_service service = any_service("mx.example.test");

    for (uint8_t wait = 0; wait < WAIT_COUNT; wait++)
        if (any_choice) {
            struct smtp_session s = session_with(each_state(), wait);
            struct turn t = {.s = &s, .service = &service, .in = in, .want = GO_ON};
            any_proposed = wait == WAIT_RECIPIENT;
            if (any_choice)
                step_any(&s, &service, in);
            call(&s, &service, &t);
        }
}
