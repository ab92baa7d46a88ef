/* `recipient`: what the directories say of an address. Queries a clerk in the same way as a worker.
 * In the web process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/control_part.h"
#include "query/query.h"
#include "smtp/address.h"

static json_t *routing_denied(void)
{
    return json_pack("{s:s, s:s}", "result", "relaying denied", "directory",
                     "none lists this exact address, and with %, ! or @ in its local part a server "
                     "may send it on to another domain (routing_addresses)");
}

static json_t *described(const struct steering *s, const struct control *c, const struct answer *a)
{
    static const char *const words[] = {[ANSWER_YES] = "taken",
                                        [ANSWER_NO] = "unknown",
                                        [ANSWER_LATER] = "cannot be told now",
                                        [ANSWER_OTHER] = "refused by the backend",
                                        [ANSWER_TRAP] = "a trap"};
    const struct config *config = s->params->config;
    const char *source = a->source < config->recipients_count
                             ? config_recipients_name(config->recipients[a->source].kind)
                             : "none configured: every local address is taken";
    bool known = a->result <= ANSWER_TRAP && words[a->result];

    if (a->result == ANSWER_TRAP)
        source = "none: it is one of `traps`";
    if (a->result == ANSWER_NO && c->asked_routing)
        return routing_denied();
    /* "Unknown" does not come from one source: all were queried. */
    if (a->result == ANSWER_NO && config->recipients_count > 1)
        source = "all directories";
    return json_pack("{s:s, s:s}", "result", known ? words[a->result] : "?", "directory", source);
}

/* ---- waiting ---- */

/* A query is never answered if its clerk has died, and it may wait behind others while a directory
 * is slow. The user hears that before mirectl's own time-out. */
enum { PATIENCE_MS = 10000 };

struct waiting {
    struct alarm alarm; /* first */
    struct control *control;
    recipient_answered *answered;
    void *arg;
    void (*drop)(void *arg);
};

static void stop(struct waiting *wait)
{
    loop_alarm_off(&wait->control->steering->loop, &wait->alarm);
    free(wait);
}

static void drop(void *state)
{
    struct waiting *wait = state;

    if (wait->drop)
        wait->drop(wait->arg);
    stop(wait);
}

static void give_up(struct control *c)
{
    c->tag = 0;
}

/* Ends the wait for an answer, which has come or will not come. Returns what waited; the caller
 * frees it. */
static struct waiting *stop_waiting(struct control *c)
{
    struct waiting *wait = c->state;

    c->tag = 0;
    c->given_up = NULL;
    c->drop = NULL;
    c->state = NULL;
    return wait;
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    struct control *c = ((struct waiting *)a)->control;

    drop(stop_waiting(c));
    control_fail(c, CONTROL_REFUSED,
                 "the directories have not answered for %d s: they are slow, or many queries wait "
                 "before this one. Mail is deferred meanwhile, not refused; `mirectl status` says "
                 "which directory is down",
                 PATIENCE_MS / 1000);
    control_resume(c);
}

static void forgotten(struct control *c, const struct answer *a, void *arg)
{
    if (a->result == ANSWER_YES)
        control_done(c, json_pack("{s:s}", "text", "forgotten: mired asks the directories again"));
    else
        control_fail(c, CONTROL_MISSING,
                     "unknown `recipients`; expected an address, or \"ldap\", \"socketmap\" or "
                     "\"backend\" if configured");
}

static void told(struct control *c, const struct answer *a, void *arg)
{
    control_done(c, described(c->steering, c, a));
}

static void answer_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct steering *s = steering_of(loop);
    struct answer a;
    int r;

    while ((r = answer_read(watch->fd, &a)) == 1 || r == -EBADMSG) {
        struct control *c = r == 1 ? steering_asker(s, a.id) : NULL;
        if (!c || c->given_up != give_up) /* a clerk answers only the process that asked */
            continue;
        struct waiting *wait = stop_waiting(c);
        wait->answered(c, &a, wait->arg);
        stop(wait);
        if (!c->tag) /* else it has asked once more */
            control_resume(c);
    }
    if (r == 0)
        loop_forget(loop, watch);
}

int recipient_open(struct steering *s)
{
    s->answers = (struct watch){.fd = s->params->answer, .events = EPOLLIN, .ready = answer_ready};
    return loop_watch(&s->loop, &s->answers);
}

static void ask(struct control *c, enum query_kind kind, struct span text, struct waiting with)
{
    const struct steering *s = c->steering;
    uint64_t tag = steering_tag(c->steering);
    struct query_head head = {.id = tag, .slot = s->params->answer_slot, .kind = (uint16_t)kind};
    struct waiting *wait = calloc(1, sizeof *wait);
    int error = wait ? query_send(s->params->ask, &head, text, (struct span){0}) : -ENOMEM;

    if (error < 0) {
        free(wait);
        if (with.drop)
            with.drop(with.arg);
        control_fail(c, CONTROL_REFUSED, "cannot query the clerks: %s", strerrordesc_np(-error));
        return;
    }
    *wait = with;
    wait->alarm.due = time_is_up;
    wait->control = c;
    loop_alarm(&c->steering->loop, &wait->alarm, c->steering->loop.now + PATIENCE_MS);
    c->tag = tag;
    c->given_up = give_up;
    c->state = wait;
    c->drop = drop;
}

void recipient_ask(struct control *c, struct span folded, recipient_answered *answered, void *arg,
                   void (*drop_arg)(void *arg))
{
    ask(c, QUERY_RECIPIENT, folded,
        (struct waiting){.answered = answered, .arg = arg, .drop = drop_arg});
}

void run_recipient(struct control *c, const json_t *args)
{
    const struct steering *s = c->steering;
    const char *text = request_text(args, "address");
    const char *sign = text ? strrchr(text, '@') : NULL;
    char folded[ADDRESS_MAX * 4];

    if (!sign || sign == text) {
        control_fail(c, CONTROL_USAGE, "expected an address such as alice@example.org");
        return;
    }
    struct mailbox box = {{text, (size_t)(sign - text)}, span_of(sign + 1)};
    size_t len = mailbox_fold(&box, folded, sizeof folded);
    struct span whole = {folded, len};
    if (len == 0) {
        control_fail(c, CONTROL_USAGE, "\"%.80s\" is not an address", text);
        return;
    }
    struct span domain = span_after(whole, address_sign(whole) + 1);
    if (!config_is_local(s->params->config, domain)) {
        control_done(c, json_pack("{s:s, s:s}", "result", "relaying denied", "directory",
                                  "none: the domain is not in `domains`; users that log in and "
                                  "machines in `relay` may send there"));
        return;
    }
    c->asked_routing = !s->params->config->routing_addresses &&
                       local_is_routing(span_first(whole, address_sign(whole)));
    if (c->asked_routing && !config_names_addresses(s->params->config, domain)) {
        control_done(c, routing_denied());
        return;
    }
    recipient_ask(c, whole, told, NULL, NULL);
}

void run_cache(struct control *c, const json_t *args)
{
    const char *text = request_text(args, "of"), *sign = text ? strrchr(text, '@') : NULL;
    char folded[ADDRESS_MAX * 4];
    struct span of = span_of(text);

    if (sign) {
        struct mailbox box = {{text, (size_t)(sign - text)}, span_of(sign + 1)};
        of = (struct span){folded, mailbox_fold(&box, folded, sizeof folded)};
        if (of.len == 0 || sign == text) {
            control_fail(c, CONTROL_USAGE, "\"%.80s\" is not an address", text);
            return;
        }
    }
    control_log(c, "cache flush", text);
    ask(c, QUERY_FORGET, of, (struct waiting){.answered = forgotten});
}
