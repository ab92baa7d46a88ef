/* Whether the resolver answers; see health.h. Each change is logged once. */
#include "dns/health.h"

#include <ares.h>
#include <stddef.h>

#include "base/container.h"
#include "base/log.h"
#include "dns/resolver.h"

static bool is_an_answer(int status)
{
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EFORMERR:
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_EREFUSED: return true;
    default: return false;
    }
}

static void is_there(struct health *h)
{
    h->missed = 0;
    if (!h->down)
        return;
    h->down = false;
    log_warn("DNS: servers answer again");
}

static void probe_answered(void *arg, int status, const unsigned char *answer, size_t len)
{
    struct health *h = arg;

    h->asking = false;
    if (status == ARES_EDESTRUCTION)
        return;
    if (is_an_answer(status)) {
        is_there(h);
        return;
    }
    if (!h->down)
        log_warn("DNS: no answers (%s): treating clients as not listed", resolver_status(status));
    h->down = true;
    loop_alarm(h->loop, &h->again, h->loop->now + HEALTH_AGAIN_MS);
}

static void probe(struct health *h)
{
    h->asking = true;
    resolver_ask(h->resolver, ".", DNS_NS, probe_answered, h);
}

static void probe_again(struct loop *loop, struct alarm *a)
{
    struct health *h = container_of(a, struct health, again);

    if (h->down && !h->asking)
        probe(h);
}

void health_open(struct health *h, struct loop *loop, struct resolver *resolver)
{
    *h = (struct health){.loop = loop, .resolver = resolver, .again.due = probe_again};
}

void health_close(struct health *h)
{
    loop_alarm_off(h->loop, &h->again);
}

void health_heard(struct health *h, int status)
{
    if (is_an_answer(status)) {
        is_there(h);
        return;
    }
    if (++h->missed >= HEALTH_MISSES && !h->down && !h->asking)
        probe(h);
}
