/* EHLO, HELO, LHLO, STARTTLS, RSET and QUIT: from any session that reads commands, with a name of any
 * octets in one piece of any length up to OCTETS, for any service whose host name has the lengths
 * below. */
#define MIRED_PROOF_OCTETS 2
#include "any_session.h"
#include "any_text.h"

uint32_t session_may_auth(const struct smtp_session *s, const struct smtp_service *service)
{
    return (uint32_t)any_number & SMTP_AUTH_ALL;
}

static void handle(struct turn *t, struct span arg)
{
    switch (any_choice) {
    case 0: session_helo(t, arg); break;
    case 1: session_ehlo(t, arg); break;
    case 2: session_lhlo(t, arg); break;
    case 3: session_starttls(t, (struct span){0}); break;
    case 4: session_rset(t, (struct span){0}); break;
    case 5: session_quit(t, (struct span){0}); break;
    default: smtp_tls_is_on(t->s, any_choice & 1);
    }
}

static void follow(struct span in)
{
    static const uint8_t lengths[] = {1, 64, 255};
    struct smtp_step step;
    uint8_t wait = any_choice ? WAIT_NOTHING : any_choice ? WAIT_TLS : WAIT_TELL;
    struct smtp_session s = any_session(any_state(), wait, READ_COMMAND, MECHANISM_NONE);
    char hostname[256];

    for (int i = 0; i < 3; i++)
        if (any_choice) {
            memset(hostname, 'a', lengths[i]);
            hostname[lengths[i]] = '\0';
            struct smtp_service service = any_service(hostname);
            struct turn t = {&s, &service, in, &step, GO_ON};
            handle(&t, in);
            check_session(&s);
            return;
        }
}
