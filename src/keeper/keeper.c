/* The keeper's loop; see keeper.h.
 *
 * It takes the proposals of all workers in turn. While there are some it looks again each
 * millisecond, so that workers need no system call for a booking; then it sleeps until a worker
 * rings. If it dies, its successor goes on with the same rings, and workers notice nothing. */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/metrics.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "keeper/confine.h"
#include "query/notes.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger_clock.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_reserve.h"
#include "tarpit/policy.h"

enum {
    IN_TURN = 256,                /* proposals of one worker, before those of the next */
    IDLE_TURNS = 3,               /* without a proposal, before it sleeps */
    STOP_MS = NOTE_STOP_MS - 300, /* the last worker may need nearly as long */
    TELL_MS = 60000,              /* between two warnings about a worker */
    EVENTS = 16,                  /* of a turn */
    LOOK_MS = 10000,              /* for files that were truncated */
};

struct desk {
    struct disposal disposal;
    uint64_t refused[3]; /* by enum disposal_result, since the last warning */
    uint64_t told_wrong_ms, told_many_ms;
};

struct keeper {
    const struct keeper_params *params;
    struct disposal_rules rules;
    struct desk *desk;
    uint64_t stop_ms; /* monotonic: when to end; 0: not told to */
    uint32_t boot;    /* names the machine's last start */
};

/* ---- proposals ---- */

/* `ring` NULL: a keeper before this one has read it, and nobody knows how long ago. */
static bool is_late(const void *ring)
{
    return !ring || proposals_are_given_up(ring);
}

static enum disposal_result carry_out(struct keeper *k, struct desk *desk, const struct proposal *p,
                                      const struct proposals *ring, uint64_t now)
{
    enum disposal_result r = dispose(&desk->disposal, k->params->ledger, &k->rules, p, now);

    if (p->op == PROPOSE_ELSE && r == DISPOSAL_DONE)
        partial_carry_out(k->params->partial,
                          &(struct partial_change){.key = p->hash,
                                                   .value = p->a,
                                                   .until = p->b,
                                                   .flags = (uint32_t)p->label,
                                                   .of_backend = p->kind == 1},
                          is_late, ring, now);
    return r;
}

/* One line for each limit that was exceeded. A very large attack can reach some limits; others are
 * above what a true worker can do. */
static void tell_of_limits(struct disposal *d, uint32_t worker)
{
    for (int i = 0; i < DISPOSAL_RATE_COUNT; i++) {
        bool outside;
        const char *about = disposal_about((enum disposal_rate)i, &outside);
        uint64_t n = d->rate[i].refused;

        d->rate[i].refused = 0;
        if (n && outside)
            log_warn("%lu bookings of worker %u were not made: it has reached the limit for %s. "
                     "This is a very large attack, whose clients now wait less, or an attacker "
                     "has taken the worker over",
                     (unsigned long)n, worker, about);
        else if (n)
            log_error("%lu bookings of worker %u were not made: it has reached the limit for %s, "
                      "which is above what a worker can do. An attacker may have taken it over: "
                      "please report it",
                      (unsigned long)n, worker, about);
    }
}

static void tell(struct desk *desk, uint32_t worker, uint64_t now)
{
    uint64_t *many = &desk->refused[DISPOSAL_TOO_MANY], *wrong = &desk->refused[DISPOSAL_WRONG];

    if (*wrong && log_is_due(&desk->told_wrong_ms, TELL_MS, now)) {
        log_error("worker %u proposed %lu changes of the ledger that no worker makes; they were "
                  "not made. An attacker may have taken it over: please report it",
                  worker, (unsigned long)*wrong);
        *wrong = 0;
    }
    if (*many && log_is_due(&desk->told_many_ms, TELL_MS, now)) {
        tell_of_limits(&desk->disposal, worker);
        *many = 0;
    }
}

/* Returns how many there were. */
static unsigned take_turn(struct keeper *k, uint32_t worker)
{
    static const enum metric refused[] = {
        [DISPOSAL_TOO_MANY] = METRIC_PROPOSALS_EXCESS, [DISPOSAL_WRONG] = METRIC_PROPOSALS_WRONG};
    struct proposals *from = k->params->proposals[worker];
    struct desk *desk = &k->desk[worker];
    uint64_t now = clock_wall_ms();
    struct proposal p;
    unsigned n = 0;

    for (; n < IN_TURN && proposals_read(from, &p); n++) {
        enum disposal_result r = carry_out(k, desk, &p, from, now);
        if (r == DISPOSAL_DONE)
            continue;
        desk->refused[r]++;
        metric_add(refused[r], 1);
    }
    if (n)
        proposals_finish(from);
    tell(desk, worker, now);
    return n;
}

/* What is stored keeps its age when the wall clock is set. Before anything else is done with that
 * clock. */
static void follow_clock(struct keeper *k)
{
    struct clock_reading now = {clock_wall_ms(), clock_boot_ms(), k->boot};
    struct clock_step step;

    if (!ledger_follow_clock(k->params->ledger, &now, &step))
        return;
    partial_clock_was_set(k->params->partial, step.by_ms, step.now_ms);
    if (!step.by_ms)
        return;
    turns_clock_was_set(k->params->turns, step.by_ms, step.now_ms);
    log_warn("the clock was set by %+.0f s; the ledger follows it", (double)step.by_ms / 1000);
}

/* A number for the machine's last start: the beginning of a random one. Where it cannot be read, as with
 * `ProcSubset=pid` of systemd, one for the master's start: a clock that was set while mired did not run
 * is then judged as after a start of the machine. */
static uint32_t read_boot(const struct keeper_params *params)
{
    char text[9] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    uint32_t boot = (uint32_t)(n > 0 ? strtoul(text, NULL, 16) : params->started_ms);
    return boot ? boot : 1;
}

/* Returns how many there were, and whether there may be more. */
static unsigned take_turns(struct keeper *k, bool *more)
{
    follow_clock(k);
    struct turns_round round = turns_begin_round(k->params->turns, k->params->generation);
    unsigned all = 0;

    *more = false;
    for (uint32_t i = 0; i < k->params->workers; i++) {
        unsigned n = take_turn(k, i);
        all += n;
        *more = *more || n == IN_TURN;
    }
    if (!*more)
        turns_end_round(k->params->turns, round);
    if (all)
        ledger_note_time(k->params->ledger, clock_wall_ms());
    return all;
}

/* What a keeper had read when it died. Records of messages are put and withdrawn once more, which
 * changes nothing if it had been done (but see is_late()); a booking would count twice. */
static void take_over(struct keeper *k, uint32_t worker)
{
    uint32_t at = 0;
    struct proposal p;

    while (proposals_read_again(k->params->proposals[worker], &at, &p))
        if (p.op == PROPOSE_ELSE)
            carry_out(k, &k->desk[worker], &p, NULL, clock_wall_ms());
    proposals_finish(k->params->proposals[worker]);
}

/* False if a proposal came meanwhile. */
static bool lie_down(const struct keeper *k)
{
    bool may = true;

    for (uint32_t i = 0; i < k->params->workers; i++)
        may = proposals_sleep(k->params->proposals[i]) && may;
    return may;
}

/* ---- the loop ---- */

static void read_notes(struct keeper *k, int set)
{
    const int control = k->params->control;
    struct note n;
    int r;

    while ((r = channel_read_text(control, &n)) == 1 || r == -EBADMSG) {
        if (r != 1)
            continue;
        if (n.kind == NOTE_STOP && !k->stop_ms)
            k->stop_ms = clock_mono_ms() + STOP_MS;
        else if (n.kind == NOTE_PING)
            channel_tell(control, NOTE_PONG, 0, 0, NULL);
    }
    if (!channel_is_over(r))
        return;
    epoll_ctl(set, EPOLL_CTL_DEL, control, NULL); /* the master is gone */
    if (!k->stop_ms)
        k->stop_ms = clock_mono_ms() + STOP_MS;
}

static bool may_end(const struct keeper *k)
{
    bool used = false;

    if (!k->stop_ms)
        return false;
    for (uint32_t i = 0; i < k->params->workers; i++)
        used = used || proposals_are_attached(k->params->proposals[i]);
    return !used || clock_mono_ms() >= k->stop_ms;
}

static void serve(struct keeper *k, int set)
{
    unsigned idle = 0;
    bool more;

    for (;;) {
        /* First: what a worker has written before it left its ring is then read in this turn. */
        bool ends = may_end(k);
        bool any = take_turns(k, &more) > 0;
        if (!any && ends)
            return;
        idle = any ? 0 : idle + 1;
        bool sleep = idle >= IDLE_TURNS && !k->stop_ms && lie_down(k);

        struct epoll_event event[EVENTS];
        int n = epoll_wait(set, event, EVENTS, more ? 0 : sleep ? LOOK_MS : 1);
        for (int i = 0; i < n; i++) {
            uint64_t rings;
            if (event[i].data.fd == k->params->control)
                read_notes(k, set);
            else
                (void)!read(event[i].data.fd, &rings, sizeof rings);
        }
        if (n > 0)
            idle = 0;
        mapfile_tend(sleep && n == 0);
    }
}

/* The most that a trap, a file of suspects or all lists of the DNS give. */
static double raise_most(const struct config *config)
{
    double most = fmax(policy_most_trap(&config->tarpit), config->tarpit.suspect_offences);
    double lists = 0;

    for (size_t i = 0; i < config->dnsbl_count; i++)
        lists += config->dnsbl[i].weight;
    return fmax(most, lists);
}

static bool watch(int set, int fd)
{
    return epoll_ctl(set, EPOLL_CTL_ADD, fd,
                     &(struct epoll_event){.events = EPOLLIN, .data.fd = fd}) == 0;
}

/* A timer that never ends: it is ready when the wall clock is set, so a keeper that sleeps follows at
 * once. Where there is none, it does so with the next booking. */
static void watch_clock(int set)
{
    const struct itimerspec never = {.it_value.tv_sec = INT64_C(1) << 34};
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd < 0)
        return;
    if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ||
        !watch(set, fd))
        close(fd);
}

static bool watch_all(const struct keeper_params *params, int set)
{
    bool done = watch(set, params->control);

    for (uint32_t i = 0; i < params->workers && done; i++)
        done = watch(set, params->bell[i]);
    return done;
}

int keeper_run(const struct keeper_params *params)
{
    struct keeper k = {.params = params,
                       .rules = {params->config->tarpit, raise_most(params->config)},
                       .desk = calloc(params->workers, sizeof *k.desk),
                       .boot = read_boot(params)};
    int set = epoll_create1(EPOLL_CLOEXEC);

    if (!k.desk || set < 0 || !watch_all(params, set)) {
        log_error("the keeper cannot start: %s", strerror(errno));
        return 1;
    }
    watch_clock(set);
    keeper_confine(params->config, params->empty); /* before the first proposal, also an old one */
    if (params->empty >= 0)
        close(params->empty);
    follow_clock(&k); /* before what another keeper has left is carried out */
    for (uint32_t i = 0; i < params->workers; i++) {
        k.desk[i].disposal.logins = &params->logins[i];
        k.desk[i].disposal.maker = i % LEDGER_MAKERS + 1;
        take_over(&k, i);
    }
    sched_normal();
    int status = note_ready(params->control, sandbox_compiled());
    if (status == 0)
        serve(&k, set);
    close(set);
    free(k.desk);
    return status;
}
