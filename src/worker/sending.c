/* R23 in a worker; see sending.h.
 *
 * At RCPT nothing is booked, so connections that ask at the same time may all be allowed.
 * Recipients are counted when a message is complete, in one step for all workers, and given back if
 * no backend has the message for them. So if a connection ends or a worker is killed, at most the
 * message that was being handed over is counted wrongly. */
#include "worker/sending.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "directory/allowances.h"
#include "worker/ident.h"
#include "worker/worker_part.h"

/* ---- the file ---- */

static void look(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    allowances_look(w->allowances, loop->now, loop->wall);
    metric_set(METRIC_ALLOWANCE_KEPT, allowances_keeps(w->allowances));
    loop_alarm(loop, a, loop->now + ALLOWANCES_LOOK_MS);
}

bool sending_open(struct worker *w)
{
    w->allowances = allowances_open(w->config, LIST_KEEP_COPY, w->params->confirmed);
    if (!w->allowances)
        return false;
    w->allowances_alarm.due = look;
    if (allowances_has_file(w->allowances))
        look(&w->loop, &w->allowances_alarm);
    return true;
}

void sending_close(struct worker *w)
{
    loop_alarm_off(&w->loop, &w->allowances_alarm);
    allowances_close(w->allowances);
}

/* ---- who ---- */

static struct allowance_who sender_of(const struct worker *w, const struct conn *c,
                                      struct span account, char room[ALLOWANCE_NAME_MAX])
{
    const struct config *config = w->config;

    return (struct allowance_who){
        .account = allowances_name(w->allowances, account, room),
        .from = &c->peer,
        .trusted = networks_contain(config->exempt.at, config->exempt.count, &c->peer) ||
                   networks_contain(config->relay.at, config->relay.count, &c->peer),
    };
}

static bool is_limited(const struct worker *w, const struct conn *c)
{
    return c->smtp.flags & SMTP_AUTHENTICATED && allowances_are_on(w->allowances);
}

/* ---- replies and log lines ---- */

static const char *in_words(uint64_t ms, char out[32])
{
    uint64_t minutes = (ms + 59999) / 60000;

    if (minutes < 2)
        return "in a minute";
    if (minutes < 120)
        snprintf(out, 32, "in %u minutes", (unsigned)minutes);
    else
        snprintf(out, 32, "in %u hours", (unsigned)((minutes + 59) / 60));
    return out;
}

/* "15:43 UTC", rounded up to the minute: by this machine's zone, as its users know it. */
static const char *at_clock(uint64_t wall_ms, char out[32])
{
    time_t at = (time_t)((wall_ms + 59999) / 60000 * 60);
    struct tm tm;

    if (!localtime_r(&at, &tm) || strftime(out, 32, "%H:%M %Z", &tm) == 0)
        return "later";
    return out;
}

static void say(const struct allowance_answer *a, uint64_t now, struct reply *r,
                char text[SENDING_TEXT])
{
    const char *period = a->limit == ALLOWANCE_DAY ? "a day" : "an hour";
    uint64_t wait = a->again_ms > now ? a->again_ms - now : 0;
    char when[32], span[32];

    if (a->limit == ALLOWANCE_STOLEN)
        snprintf(text, SENDING_TEXT,
                 "Your account sends from its usual networks only, because its password may be "
                 "stolen. Please ask your administrator");
    else
        snprintf(text, SENDING_TEXT,
                 "Your account may write to %u recipients %s%s. It goes on at %s, %s", a->most,
                 period, a->is_new ? " from a network that is new to it" : "",
                 at_clock(a->again_ms, when), in_words(wait, span));
    *r = reply_make(REPLY_OTHER, span_of(text));
    r->code = 450;
    memcpy(r->enhanced, (uint8_t[3]){4, 7, 1}, sizeof r->enhanced);
}

static void begin_line(struct log_line *l, const struct conn *c, enum log_level level,
                       struct span account)
{
    char id[IDENT_MAX];

    log_begin(l, level, "allowance");
    log_span(l, "account", account);
    log_addr(l, "client", &c->peer);
    log_text(l, "id", ident_session(&c->peer, c->opened_s, id));
}

static void tell_stolen(const struct conn *c, struct span account)
{
    struct log_line l;

    metric_add(METRIC_ALLOWANCE_STOLEN, 1);
    begin_line(&l, c, LOG_WARN, account);
    log_text(&l, "why", "looks stolen");
    log_text(&l, "text",
             "several networks that are new to it send more than they may; change its password, "
             "then `mirectl release ACCOUNT`");
    log_end(&l);
}

/* Whether a line may be written: one a minute for each account, and for no more accounts than there
 * are places. */
static bool may_write(struct worker *w, struct span account)
{
    enum { QUIET_MS = 60000 };
    uint64_t hash = ledger_key_allowance(w->params->ledger, account).hash, *oldest = w->told_until;
    size_t at = 0;

    for (size_t i = 0; i < WORKER_TOLD; i++) {
        if (w->told[i] == hash && w->told_until[i] > w->loop.now)
            return false;
        if (w->told_until[i] < *oldest) {
            oldest = &w->told_until[i];
            at = i;
        }
    }
    w->told[at] = hash;
    w->told_until[at] = w->loop.now + QUIET_MS;
    return true;
}

static void tell(struct worker *w, const struct conn *c, const struct allowance_who *who,
                 const struct allowance_answer *a)
{
    static const char *const why[] = {
        [ALLOWANCE_HOUR] = "hour", [ALLOWANCE_DAY] = "day", [ALLOWANCE_STOLEN] = "stolen"};
    struct log_line l;

    metric_add(METRIC_ALLOWANCE_REFUSALS, 1);
    if (may_write(w, who->account)) {
        begin_line(&l, c, LOG_WARN, who->account);
        log_text(&l, "why", why[a->limit]);
        log_text(&l, "network", a->is_new ? "new" : "known");
        if (a->most)
            log_int(&l, "allowance", a->most);
        log_seconds(&l, "again", a->again_ms > w->loop.wall ? a->again_ms - w->loop.wall : 0);
        log_end(&l);
    }
    if (allowance_refused(w->params->ledger, who, w->loop.wall))
        tell_stolen(c, who->account);
}

/* ---- recipients and messages ---- */

bool sending_recipient(struct worker *w, struct conn *c, struct reply *r, char text[SENDING_TEXT])
{
    char room[ALLOWANCE_NAME_MAX];

    if (!is_limited(w, c))
        return true;
    struct allowance_who who = sender_of(w, c, smtp_login(&c->smtp), room);
    struct allowance_rules rules = allowances_of(w->allowances, who.account);
    struct allowance_answer a = allowance_ask(w->params->ledger, &rules, &who, w->loop.wall,
                                              envelope_recipients(&c->smtp.envelope) + 1);
    if (a.limit == ALLOWANCE_FITS)
        return true;
    tell(w, c, &who, &a);
    say(&a, w->loop.wall, r, text);
    return false;
}

bool sending_message(struct worker *w, struct conn *c, struct reply *r, char text[SENDING_TEXT])
{
    struct work *k = c->work;
    char room[ALLOWANCE_NAME_MAX];

    k->allowed = 0;
    if (!is_limited(w, c))
        return true;
    uint32_t recipients = envelope_recipients(&c->smtp.envelope);
    struct allowance_who who = sender_of(w, c, smtp_login(&c->smtp), room);
    struct allowance_rules rules = allowances_of(w->allowances, who.account);
    struct allowance_answer a =
        allowance_take(w->params->ledger, &rules, &who, w->loop.wall, recipients);
    if (a.limit == ALLOWANCE_FITS) {
        k->allowed = allowance_is_on(&rules) ? recipients : 0;
        k->allowed_new = a.is_new;
        return true;
    }
    tell(w, c, &who, &a);
    say(&a, w->loop.wall, r, text);
    return false;
}

void sending_over(struct worker *w, struct conn *c, uint32_t unsent)
{
    struct work *k = c->work;
    char room[ALLOWANCE_NAME_MAX];

    if (k->allowed) {
        struct span account = allowances_name(w->allowances, smtp_login(&c->smtp), room);
        struct allowance_rules rules = allowances_of(w->allowances, account);
        allowance_give(w->params->ledger, &rules, account, k->allowed_new, w->loop.wall,
                       unsent < k->allowed ? unsent : k->allowed);
    }
    k->allowed = 0;
}

/* ---- logins ---- */

bool sending_may_log_in(struct worker *w, struct conn *c, struct span account)
{
    char room[ALLOWANCE_NAME_MAX];
    struct allowance_who who = sender_of(w, c, account, room);
    struct allowance_rules rules = allowances_of(w->allowances, who.account);
    struct ledger *l = w->params->ledger;

    if (allowance_may_log_in(l, &rules, &who, w->loop.wall))
        return true;
    struct allowance_answer a = {.limit = ALLOWANCE_STOLEN, .is_new = true};
    a.again_ms = allowance_state(l, &rules, who.account, w->loop.wall).signs.stolen_till;
    tell(w, c, &who, &a);
    return false;
}

void sending_logged_in(struct worker *w, struct conn *c, struct span account)
{
    char room[ALLOWANCE_NAME_MAX];
    struct allowance_who who = sender_of(w, c, account, room);

    allowance_logged_in(w->params->ledger, &who, w->loop.wall);
}
