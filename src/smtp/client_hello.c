/* How a session with a backend begins (client_part.h): greeting, EHLO, STARTTLS, and XCLIENT and
 * XFORWARD, which name the client before its message. */
#include <stdio.h>

#include "smtp/client_part.h"

static void say_hello(struct outbound *o, struct span name, enum outbound_state next)
{
    char line[300];
    int len = name.len < 255 ? (int)name.len : 255;

    snprintf(line, sizeof line, "%s %.*s", o->lmtp ? "LHLO" : "EHLO", len, name.at);
    outbound_say(o, line, next);
}

/* After a PROXY header the backend takes us for the client. */
static struct span own_hello(const struct outbound *o)
{
    return span_of(o->client_hello ? o->client_hello : o->hostname);
}

void outbound_on_greeting(struct outbound *o, const struct reply *r)
{
    if (r->code == 220)
        say_hello(o, own_hello(o), OUTBOUND_HELLO);
    else
        outbound_refused(o, STAGE_GREETING, r);
}

/* Names the client again, without what the client has chosen itself. */
static void say_xclient_again(struct outbound *o)
{
    struct xclient_identity who = o->job->who;

    who.names = NULL;
    who.helo = (struct span){0};
    o->xclient_again = true;
    if (xclient_command(&o->out, &who, o->ability.xclient))
        outbound_die(o);
}

/* After a 220 the backend takes us for the client and starts the session again, so EHLO now says
 * the client's own name. If the backend does not take the words of the command, it hears it without
 * the client's names. If it refuses that, too, nobody knows whether it refuses mired or this client:
 * its address by a rule, its login by its length. So the message is not sent. In mired's own name it
 * would pass by rules for the client, and a login would be that of a host which may send as anybody.
 * A 4xx or 5xx may also come from a backend that applies its access rules at once (Postfix with
 * smtpd_delay_reject = no): it takes us for the client already. */
void outbound_on_xclient(struct outbound *o, const struct reply *r)
{
    struct span helo = o->job->who.helo;
    bool words = r->code >= 500 && r->code <= 504;

    if (r->code == 220) {
        o->as_client = true;
        say_hello(o, helo.len ? helo : span_of(o->hostname), OUTBOUND_XHELLO);
    } else if (words && !o->as_client && !o->xclient_again) {
        say_xclient_again(o);
    } else {
        outbound_refused(o, STAGE_XCLIENT, r);
    }
}

void outbound_on_xforward(struct outbound *o, const struct reply *r)
{
    if (r->code >= 300)
        outbound_complain(o, STAGE_XCLIENT, r);
    outbound_send_envelope(o);
}

void outbound_on_xhello(struct outbound *o, const struct reply *r)
{
    if (r->code != 250) {
        outbound_refused(o, STAGE_HELLO, r);
        return;
    }
    ability_learn(&o->ability, r->arg);
    outbound_send_envelope(o);
}

static void be_ready(struct outbound *o)
{
    o->state = OUTBOUND_IDLE;
    o->served = true;
}

/* The backend's extensions are known: go on with STARTTLS, if that is wanted, or with the job. */
static void known(struct outbound *o)
{
    bool wanted = o->tls != OUTBOUND_TLS_NONE && !o->secure;

    if (wanted && o->ability.caps & CAP_STARTTLS) {
        outbound_say(o, "STARTTLS", OUTBOUND_STARTTLS);
    } else if (wanted && o->tls == OUTBOUND_TLS_NEEDED) {
        outbound_die(o);
    } else {
        be_ready(o);
    }
}

void outbound_on_starttls(struct outbound *o, const struct reply *r)
{
    if (r->code == 220) {
        o->state = OUTBOUND_SHAKE;
        return;
    }
    outbound_complain(o, STAGE_TLS, r);
    if (o->tls == OUTBOUND_TLS_NEEDED)
        outbound_die(o);
    else
        be_ready(o);
}

void outbound_secured(struct outbound *o)
{
    o->secure = true;
    say_hello(o, own_hello(o), OUTBOUND_HELLO);
}

void outbound_on_hello(struct outbound *o, const struct reply *r)
{
    char line[300];

    if (r->code == 250) {
        ability_learn(&o->ability, r->arg);
        known(o);
    } else if (r->code >= 500 && o->client_hello) { /* maybe it refuses the client's name */
        o->client_hello = NULL;
        say_hello(o, own_hello(o), OUTBOUND_HELLO);
    } else if (r->code >= 500 && !o->lmtp && o->state == OUTBOUND_HELLO) {
        snprintf(line, sizeof line, "HELO %.255s", o->hostname);
        outbound_say(o, line, OUTBOUND_HELO);
    } else {
        outbound_refused(o, STAGE_HELLO, r);
    }
}
