/* AUTH, its responses and the answers of a clerk: from any session, for each mechanism. base64 is a
 * stand-in: any line may be a response of the forms below, in which '?' is any octet and '!' is NUL, or of
 * the lengths where names, passwords and responses end. So is the comparison of names of mechanisms
 * (any_smtp.h). */
#define MIRED_PROOF_OCTETS 2
#include "any_compare.h"
#include "any_session.h"
#include "any_text.h"

#include "base/base64.h"

enum { USER_MOST = 255, PASSWORD_MOST = 1023, RESPONSE_MOST = 2 * USER_MOST + PASSWORD_MOST + 2 };

static size_t decode_form(char *out)
{
    static const char *const forms[] = {"",
                                        "?",
                                        "??",
                                        "!a!?",
                                        "a!?!?",
                                        "n,,n=?,r=?",
                                        "y,a=?,n=?,r=?",
                                        "p=tls-exporter,,n=??,r=?",
                                        "p=tls-server-end-point,,n=?,r=?,?",
                                        "c=?,r=?,p=?"};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (any_choice) {
            size_t len = any_form(forms[i], out).len;
            for (size_t n = 0; n < len; n++)
                if (forms[i][n] == '!')
                    out[n] = '\0';
            return len;
        }
    return 0;
}

/* A name or a password alone; PLAIN with names and a password; SCRAM with a name. */
static size_t decode_long(char *out)
{
    static const uint16_t alone[] = {USER_MOST, USER_MOST + 1, PASSWORD_MOST, PASSWORD_MOST + 1};
    static const uint16_t more[] = {0, 1};

    memset(out, 'a', RESPONSE_MOST);
    for (int i = 0; i < 4; i++)
        if (any_choice)
            return alone[i];
    for (int i = 0; i < 2; i++)
        if (any_choice) {
            size_t user = USER_MOST + more[i],
                   password = any_choice ? PASSWORD_MOST : PASSWORD_MOST + 1;
            out[0] = out[user + 1] = '\0';
            return user + password + 2;
        }
    if (any_choice) {
        out[USER_MOST] = out[2 * USER_MOST + 1] = '\0';
        return RESPONSE_MOST;
    }
    size_t user = any_choice ? USER_MOST : USER_MOST + 1;
    memcpy(out, "n,,n=", 5);
    memcpy(out + 5 + user, ",r=", 3);
    return 5 + user + 3 + 1;
}

bool base64_decode(struct span text, void *out, size_t room, size_t *length)
{
    proof_reads(text);
    //@ assert room_of_responses: room == RESPONSE_MOST;
    if (any_choice)
        return false;
    if (any_choice)
        *length = decode_form(out);
    else if (any_choice)
        *length = decode_long(out);
    else
        *length = room + 1;
    return true;
}

size_t base64_encode(struct span octets, char *out)
{
    proof_reads(octets);
    Frama_C_make_unknown(out, BASE64_LEN(octets.len));
    return BASE64_LEN(octets.len);
}

void explicit_bzero(void *at, size_t n)
{
    memset(at, 0, n);
}

static void check_text(const char *text, size_t room)
{
    for (size_t i = 0; text[i]; i++) {
        //@ assert it_ends: i + 1 < room;
    }
}

static void check(struct turn *t)
{
    unsigned wait = t->s->wait;

    if (t->want == SMTP_PASSWORD) {
        //@ assert asks: wait == WAIT_PASSWORD;
        check_text(t->step->login.user, sizeof t->step->login.user);
        check_text(t->step->login.response, sizeof t->step->login.response);
    } else if (t->want == SMTP_SCRAM) {
        //@ assert asks_scram: wait == WAIT_SCRAM;
        check_text(t->step->login.user, sizeof t->step->login.user);
        check_text(t->step->login.response, sizeof t->step->login.response);
    }
    (void)smtp_in_scram(t->s);
    proof_reads(session_auth_prompt(t->s));
    proof_reads(smtp_login(t->s));
    check_session(t->s);
    exit(0); /* the path ends: nothing is joined with it */
}

static void command(struct turn *t)
{
    static const char *const forms[] = {"?", "A", "A =", "A ????"};
    char text[8];

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (any_choice) {
            session_auth(t, any_form(forms[i], text));
            check(t);
        }
}

static void response(struct turn *t, struct span in)
{
    static const char *const forms[] = {"*\r\n", "????\r\n"};
    char text[8];

    t->s->reading = READ_AUTH;
    t->in = in;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (any_choice) {
            t->in = any_form(forms[i], text);
            break;
        }
    for (unsigned mechanism = 1; mechanism < MECHANISM_COUNT; mechanism++)
        if (any_choice) {
            t->s->mechanism = mechanism & 7;
            session_read_auth(t);
            check(t);
        }
}

/* One of a clerk, whose message may be cut. */
static void answer(struct turn *t, struct span in)
{
    static const uint8_t waits[] = {WAIT_NOTHING, WAIT_PASSWORD, WAIT_SCRAM};
    enum password_verdict v = (enum password_verdict)Frama_C_interval(0, PASSWORD_MORE);
    char text[513];

    memset(text, 'a', sizeof text);
    t->s->mechanism = any_choice ? MECHANISM_SCRAM_PROOF : MECHANISM_SCRAM_END;
    for (int i = 0; i < 3; i++)
        if (any_choice) {
            t->s->wait = waits[i];
            if (any_choice)
                smtp_password_is(t->s, v);
            else
                smtp_scram_is(t->s, v, any_choice ? in : (struct span){text, sizeof text});
            check(t);
        }
}

static void follow(struct span in)
{
    struct smtp_service service = any_service("mx.example.test");
    struct smtp_step step;
    struct smtp_session s = any_session(any_state(), WAIT_NOTHING, READ_COMMAND, MECHANISM_NONE);
    struct turn t = {.s = &s, .service = &service, .step = &step, .want = GO_ON};

    switch (any_choice) {
    case 0: command(&t); break;
    case 1: response(&t, in); break;
    default: answer(&t, in);
    }
}
