/* The state of backends; see health.h. */
#include "backend/health.h"

#include "backend/limit.h"
#include "backend/tls.h"
#include "base/log.h"

enum { NEEDS_TLS = 530 }; /* RFC 3207 4 */

/* `why` says why it is down; NULL: not known, or already logged. */
static void set_up(struct backend *b, bool up, const char *why)
{
    bool changed = !b->known || b->up != up;

    if (changed && !up)
        log_warn("backend %s is down%s%s", b->config->name, why ? ": " : "", why ? why : "");
    else if (changed && b->known)
        log_warn("backend %s is up again", b->config->name);
    b->known = true;
    b->up = up;
    if (up)
        b->backoff_ms = 0;
    if (!changed)
        return;
    b->pool->params.changed(b->pool->params.arg);
    const struct pool_params *params = &b->pool->params;
    if (params->reached && !b->pool->closing)
        params->reached(params->arg, b->config->name, up);
}

void health_down(struct backend *b, const char *why)
{
    set_up(b, false, why);
    b->turn++; /* another address of its name may work */
    b->backoff_ms = b->backoff_ms ? b->backoff_ms * 2 : POOL_RETRY_MS;
    if (b->backoff_ms > POOL_RETRY_MAX_MS)
        b->backoff_ms = POOL_RETRY_MAX_MS;
    if (b->pool->closing)
        return;
    loop_alarm(b->pool->params.loop, &b->retry, b->pool->params.loop->now + b->backoff_ms);
    limit_hurry(b);
}

void health_up(struct backend *b)
{
    set_up(b, true, NULL);
}

static void forget_complaint(struct outbound *o)
{
    kept_free(&o->complaint);
    o->complaint.code = 0;
}

static void log_complaint(const struct backend *b, const char *stage, const struct reply *r,
                          const struct addr *client)
{
    char text[ADDR_TEXT];

    if (client)
        log_warn("backend %s refuses the client %s, not its mail, at %s: %u %u.%u.%u %.*s",
                 b->config->name, addr_format(client, text), stage, r->code, r->enhanced[0],
                 r->enhanced[1], r->enhanced[2], (int)r->arg.len, r->arg.at ? r->arg.at : "");
    else
        log_warn("backend %s refuses mired, not the mail, at %s: %u %u.%u.%u %.*s", b->config->name,
                 stage, r->code, r->enhanced[0], r->enhanced[1], r->enhanced[2], (int)r->arg.len,
                 r->arg.at ? r->arg.at : "");
}

/* A reply about us, not about the mail, is logged for the administrator; the client hears 451
 * (R24). */
void health_complain(struct backend *b, struct outbound *o, const struct addr *client)
{
    uint64_t now = b->pool->params.loop->now;
    uint64_t *told = client ? &b->told_of_client_ms : &b->complained_ms;
    struct reply r = kept_get(&o->complaint);

    if (r.code == 0)
        return;
    if (r.code == NEEDS_TLS && !o->secure && now + POOL_RETRY_MAX_MS < b->plain_until_ms)
        b->plain_until_ms = now + POOL_RETRY_MAX_MS;
    if (log_is_due(told, POOL_COMPLAINT_MS, now))
        log_complaint(b, reply_stage_text((enum reply_stage)o->complained_of), &r, client);
    forget_complaint(o);
}

void health_no_chunks(struct backend *b, struct outbound *o)
{
    struct reply r = o ? kept_get(&o->complaint) : (struct reply){0};

    if (!b->no_chunks && r.code)
        log_warn("backend %s offers CHUNKING and refuses BDAT: %u %.*s; using DATA until the next "
                 "reload",
                 b->config->name, r.code, (int)r.arg.len, r.arg.at ? r.arg.at : "");
    else if (!b->no_chunks)
        log_warn("backend %s offers CHUNKING, but BDAT fails repeatedly; using DATA until the next "
                 "reload",
                 b->config->name);
    b->no_chunks = true;
    if (o)
        forget_complaint(o);
}

bool health_no_tls(struct backend *b, const char *why, bool ended)
{
    bool worked = b->tls_works;

    b->tls_works = false;
    if (b->config->tls != TLS_STARTTLS) {
        log_warn("backend %s: TLS: %s", b->config->name, why);
        return false;
    }
    if (ended && worked) /* it may be restarting: the next handshake shows whether its TLS works */
        return false;
    log_warn("backend %s: TLS: %s; sending in clear text, trying TLS again in %d minutes",
             b->config->name, why, BACKEND_PLAIN_MS / 60000);
    b->plain_until_ms = b->pool->params.loop->now + BACKEND_PLAIN_MS;
    return true;
}

void health_tls(struct backend *b)
{
    if (b->plain_until_ms)
        log_warn("backend %s: TLS works again", b->config->name);
    b->plain_until_ms = 0;
    b->tls_works = true;
}

bool health_is_plain(const struct backend *b)
{
    return b->pool->params.loop->now < b->plain_until_ms;
}

/* A backend's extensions are stored over restarts, so that clients are offered them from the
 * start. */
void health_learn(struct backend *b, const struct ability *a)
{
    const struct pool_params *params = &b->pool->params;

    b->ability = *a;
    b->learnt = true;
    params->remember(params->arg, b->config->name, ability_word(a));
}

/* The extensions of the built-in store are known. */
void health_recall(struct backend *b)
{
    const struct pool_params *params = &b->pool->params;
    uint64_t word;

    b->learnt = true;
    if (b->config->kind == BACKEND_STORE)
        b->ability.caps = CAP_8BITMIME | CAP_SMTPUTF8 | CAP_DSN;
    else if (params->recall(params->arg, b->config->name, &word))
        b->ability = ability_of_word(word);
    else
        b->learnt = false;
}
