/* MAIL, RCPT and the answer about a recipient: from any session, with arguments of the forms below, in
 * which '?' is any octet. The parser of paths is a stand-in (driver "address"), and so is the comparison
 * of keywords (any_smtp.h): each word may be any parameter. */
#include "any_compare.h"
#include "any_session.h"

/* What the octets of a path may be: a mailbox, <>, <postmaster>, or none; `used` is any part of them. */
static enum path_result any_path(struct span text, size_t *used, struct mailbox *box)
{
    enum { MOST = 5 };

    proof_reads(text);
    *used = 0;
    *box = (struct mailbox){0};
    if (any_choice)
        return PATH_BAD;
    for (size_t n = 2; n <= text.len && n <= MOST; n++)
        if (any_choice) {
            *used = n;
            if (any_choice)
                return PATH_NULL;
            box->local = (struct span){text.at + (n > 4), 1};
            if (n < 3 || any_choice)
                return PATH_POSTMASTER;
            box->domain = (struct span){box->local.at + 2, 1};
            return any_choice ? PATH_OK : PATH_NON_ASCII;
        }
    return PATH_BAD;
}

enum path_result path_parse(struct span text, size_t *used, struct mailbox *box)
{
    return any_path(text, used, box);
}

enum path_result path_parse_bare(struct span text, size_t *used, struct mailbox *box)
{
    enum path_result result = any_path(text, used, box);

    return result == PATH_OK || result == PATH_NON_ASCII ? result : PATH_BAD;
}

uint32_t session_may_auth(const struct smtp_session *s, const struct smtp_service *service)
{
    return (uint32_t)any_number & SMTP_AUTH_ALL;
}

struct reply session_too_large(const struct smtp_session *s, const struct smtp_service *service)
{
    return any_reply(552, 552);
}

static void check(struct turn *t)
{
    if (t->want == SMTP_RECIPIENT) {
        unsigned wait = t->s->wait;
        //@ assert asks: wait == WAIT_RECIPIENT;
        proof_reads(t->step->address);
        proof_reads(t->step->box.local);
        proof_reads(t->step->box.domain);
    }
    (void)smtp_asked(t->s);
    (void)smtp_declared_size(t->s);
    check_session(t->s);
    exit(0); /* the path ends: nothing is joined with it */
}

static void handle(struct turn *t, struct span arg)
{
    if (any_choice)
        session_mail(t, arg);
    else
        session_rcpt(t, arg);
    check(t);
}

/* Two parameters that fill a line. */
static void handle_long(struct turn *t)
{
    enum { ARG = SMTP_LINE_MAX - 7, PATH = 12 };
    char text[ARG];
    size_t first = any_choice ? ARG : (ARG + PATH) / 2;

    memset(text, 'a', ARG);
    memcpy(text, any_choice ? "FROM:<a@b> K" : "TO:<a@b> K=a", PATH);
    text[PATH] = '=';
    if (first < ARG)
        text[first] = ' ';
    handle(t, (struct span){text, ARG});
}

static void answer(struct turn *t)
{
    struct reply other = any_reply(200, 599);

    if (any_choice) {
        t->s->wait = WAIT_RECIPIENT;
        any_proposed = true;
    }
    smtp_recipient_is(t->s, (enum recipient_verdict)Frama_C_interval(0, RECIPIENT_OTHER),
                      SPAN("a@b"), &other);
    check(t);
}

int main(void)
{
    static const char *const forms[] = {"",
                                        "?",
                                        "FROM:??",
                                        "TO:??",
                                        "FROM:<?> ?",
                                        "TO: <?>  ?",
                                        "FROM:<a> K=??",
                                        "TO:<a> K=??",
                                        "FROM:<a> ?=? K=",
                                        "TO:<a> K=?;? K=a",
                                        "FROM:<a> K=? K=a"};
    char text[24];
    struct smtp_service service = any_service("mx.example.test");
    struct smtp_step step;
    struct smtp_session s = any_session(any_state(), WAIT_NOTHING, READ_COMMAND, MECHANISM_NONE);
    struct turn t = {.s = &s, .service = &service, .step = &step, .want = GO_ON};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (any_choice)
            handle(&t, any_form(forms[i], text));
    if (any_choice)
        handle_long(&t);
    answer(&t);
    return 0;
}
