/* Generations: the processes of one reading of the configuration. Master only.
 *
 *   coming --all its children are ready--> current --the next one is--> parting
 *      |                                                                   |
 *      |                               its workers take no more clients, or time is up
 *      |                                                                   |
 *      +--its children keep dying,                                        old --its last child has
 *         or time is up--> gone; the current one was never touched             ended--> gone
 *
 * Workers of all generations share the listening sockets. The workers of a coming generation are
 * ready but do not accept, and sockets that only they have do not listen. When it becomes the
 * current one, the new workers start accepting and the old ones stop; both overlap briefly. The
 * clerks of an old generation stay until its last worker has ended, because held sessions may still
 * make queries. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/addresses.h"
#include "backend/counts.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/log.h"
#include "config/config.h"
#include "freezer/freezer.h"
#include "master/certificates.h"
#include "master/generation_share.h"
#include "master/master.h"
#include "query/notes.h"
#include "tls/server.h"

enum {
    COMING_MS = 20000, /* until the next of its children is ready */
    COMING_DEATHS = 3, /* after so many deaths it is given up */
    /* how long workers may take to stop accepting; those of an earlier program may not report it */
    PARTING_MS = 2000,
    /* between the starts of two children: mail that one of them delays is not delayed by the next
     * one, too */
    PAUSE_MS = 10,
    PAUSES_MS = 500, /* all pauses of a generation together */
};

static void release(struct master *m, struct generation *g)
{
    struct generation **p = &m->generations;

    while (*p && *p != g)
        p = &(*p)->next;
    if (*p)
        *p = g->next;
    loop_alarm_off(&m->loop, &g->deadline);
    loop_alarm_off(&m->loop, &g->pause);
    generation_unshare(g);
    tls_server_close(g->tls);
    addresses_close(g->addresses);
    config_free(g->config);
    free(g);
}

/* ---- counting ---- */

uint32_t generation_count(const struct master *m, const struct generation *g, enum role_id role)
{
    uint32_t n = 0;

    for (const struct child *c = m->children; c; c = c->next)
        n += (!g || c->generation == g) && c->role == role;
    return n;
}

static bool has_children(const struct master *m, const struct generation *g)
{
    for (const struct child *c = m->children; c; c = c->next)
        if (c->generation == g)
            return true;
    return false;
}

/* Whether all of its children are ready. */
static bool is_ready(const struct master *m, const struct generation *g)
{
    for (const struct child *c = m->children; c; c = c->next)
        if (c->generation == g && c->state != CHILD_READY)
            return false;
    return true;
}

/* ---- the end of a generation ---- */

/* Tells the children of that generation and retirement, or all of them, to leave. */
static void dismiss(struct master *m, struct generation *g, int retirement, enum note_kind note)
{
    for (struct child *c = m->children, *next; c; c = next) {
        next = c->next;
        if (c->generation == g &&
            (retirement < 0 || (int)role_table[c->role].retirement == retirement))
            child_leave(m, c, note);
    }
}

/* Whether a worker may need children of that role, which the current generation lacks. Nothing is
 * known of workers of an earlier program. */
static bool is_needed(const struct master *m, const struct role *role)
{
    if (!m->current)
        return false;
    if (!m->current->config) /* an upgrade has failed: everything stays as it is */
        return true;
    if (role->count(m->current->config) > 0)
        return false;
    for (const struct child *c = m->children; c; c = c->next)
        if (c->role == ROLE_WORKER &&
            (!c->generation->config || role->count(c->generation->config)))
            return true;
    return false;
}

/* Stops children of old generations that no worker needs any more. */
static void dismiss_replaced(struct master *m)
{
    for (struct child *c = m->children, *next; c; c = next) {
        const struct role *role = &role_table[c->role];
        next = c->next;
        if (c->generation->state == GENERATION_OLD && c->state != CHILD_LEAVING &&
            role->retirement == RETIRE_REPLACED && !is_needed(m, role))
            child_leave(m, c, NOTE_STOP);
    }
}

/* A signal came during a reload. */
static void reload_if_asked(struct master *m)
{
    if (!m->reload_again)
        return;
    m->reload_again = false;
    master_reload(m, (struct asker){0});
}

static bool may_accept(const struct master *m, const struct generation *g)
{
    for (const struct child *c = m->children; c; c = c->next)
        if (c->generation == g && c->accepts)
            return true;
    return false;
}

enum { SERVES_TEXT = 128 };

/* Tells systemd that the generation serves, and writes that to `text`. */
static void tell_serves(const struct master *m, const struct generation *g, char text[SERVES_TEXT])
{
    snprintf(text, SERVES_TEXT, "generation %u serves with %u workers", g->id, g->config->workers);
    master_tell_ready(m, text);
}

/* The asker of a reload gets its answer when only the new generation serves: a client that connects
 * after the answer meets the new configuration. The old store, which the last clients may need, and
 * the old web process, which passes the answer on, are stopped only then: the web process before the
 * answer, so that the asker's next command reaches the new one. */
static void part(struct master *m, struct generation *g)
{
    const struct generation *next = m->current;
    char text[SERVES_TEXT];

    m->parting = NULL;
    g->state = GENERATION_OLD;
    loop_alarm_off(&m->loop, &g->deadline);
    tell_serves(m, next, text);
    dismiss(m, g, RETIRE_STOP, NOTE_STOP);
    dismiss_replaced(m);
    master_answer(m, next->asker, true, g->config ? "reload" : "upgrade", text);
    generation_child_gone(m, g);
    reload_if_asked(m);
}

static void parting_is_over(struct loop *loop, struct alarm *a)
{
    part(master_of(loop), container_of(a, struct generation, deadline));
}

void generation_child_drains(struct master *m, struct generation *g)
{
    if (g->state == GENERATION_PARTING && !may_accept(m, g))
        part(m, g);
}

static void retire(struct master *m, struct generation *g)
{
    m->parting = g;
    g->state = GENERATION_PARTING;
    g->deadline.due = parting_is_over;
    loop_alarm(&m->loop, &g->deadline, m->loop.now + PARTING_MS);
    for (struct child *c = m->children; c; c = c->next)
        if (c->generation == g)
            c->accepts = c->role == ROLE_WORKER && c->state != CHILD_LEAVING;
    dismiss(m, g, RETIRE_DRAIN, NOTE_DRAIN);
    generation_child_drains(m, g);
}

static void release_empty(struct master *m)
{
    for (struct generation *g = m->generations, *next; g; g = next) {
        next = g->next;
        if (g->state == GENERATION_OLD && !has_children(m, g)) {
            log_debug("generation %u has ended", g->id);
            release(m, g);
        }
    }
}

void generation_child_gone(struct master *m, struct generation *g)
{
    if (g->state == GENERATION_PARTING) {
        generation_child_drains(m, g);
        return; /* the generation may be freed */
    }
    if (g->state == GENERATION_OLD && generation_count(m, g, ROLE_WORKER) == 0)
        dismiss(m, g, RETIRE_LAST, NOTE_STOP);
    dismiss_replaced(m);
    release_empty(m); /* a child of another one may have been dismissed, too */
}

/* Thawed connections go to this generation's workers. */
static void take_thawed(const struct master *m, const struct generation *g)
{
    m->runtime.shared->freezer.slots = g->config->workers;
}

/* While it comes, the serving freezer, or this generation's, may thaw only for workers of both: nobody
 * reads the channel of a slot that has no worker yet, and the client of a connection there would hear
 * nothing. Workers of slots that it does not have are still there to take what is on its way. */
static void share_thawed(const struct master *m, struct generation *g)
{
    g->taking_before = m->runtime.shared->freezer.slots;
    if (g->taking_before == 0 || g->config->workers < g->taking_before)
        take_thawed(m, g);
}

/* A coming generation will not serve. */
static void give_up(struct master *m, struct generation *g, const char *why)
{
    struct asker asker = g->asker;

    m->coming = NULL;
    loop_alarm_off(&m->loop, &g->pause);
    listeners_cut(&m->listeners, g->listeners_before);
    m->runtime.shared->freezer.slots = g->taking_before;
    dismiss(m, g, -1, NOTE_STOP);
    g->state = GENERATION_OLD;
    loop_alarm_off(&m->loop, &g->deadline);
    generation_child_gone(m, g);
    if (m->current)
        master_tell_ready(m, NULL);
    master_answer(m, asker, false, m->current ? "reload" : "start", why);
    if (!m->current)
        master_stop(m, 1);
    reload_if_asked(m);
}

void generation_give_up_coming(struct master *m, const char *why)
{
    if (m->coming)
        give_up(m, m->coming, why);
}

/* ---- the start of a generation ---- */

static void log_ready(const struct master *m, const struct generation *g)
{
    const struct config *config = g->config;
    struct log_line l;
    char text[ADDR_TEXT];
    struct buf where = {0};

    for (size_t i = 0; i < config->listen_count; i++) {
        const struct addr *a = &config->listen[i].addr;
        addr_format(a, text);
        buf_addf(&where, a->family == ADDR_IP6 ? "%s[%s]:%u" : "%s%s:%u", i ? " " : "", text,
                 a->port);
    }
    log_begin(&l, LOG_INFO, "ready");
    log_span(&l, "listen", buf_span(&where));
    log_int(&l, "workers", config->workers);
    log_int(&l, "generation", g->id);
    log_int(&l, "ms", (int64_t)clock_since(m->runtime.started_ms, clock_wall_ms()));
    log_end(&l);
    buf_free(&where);
}

/* Decides which of the current generation's children the coming one keeps. */
static void choose_kept(const struct master *m, struct generation *g)
{
    const struct generation *now = m->current;

    for (int r = 0; r < ROLE_COUNT; r++)
        if (now && now->config && role_table[r].kept &&
            role_table[r].kept(m, now->config, g->config))
            g->keeps |= 1U << r;
}

/* Holds that are frozen must be answered, although the new configuration freezes none. The file is
 * there as long as there may be any. */
static void choose_thaws(const struct master *m, struct generation *g)
{
    char path[FREEZER_PATH];

    g->thaws =
        !freezer_is_wanted(g->config) && (generation_count(m, NULL, ROLE_FREEZER) > 0 ||
                                          access(freezer_path(m->runtime.state, path), F_OK) == 0);
}

static bool is_kept(const struct generation *g, enum role_id role)
{
    return g->keeps & 1U << role;
}

static void keep_children(struct master *m, struct generation *before, struct generation *g)
{
    for (struct child *c = m->children; c; c = c->next)
        if (c->generation == before && is_kept(g, c->role)) {
            c->generation = g;
            (void)child_tell(m, c, NOTE_KEPT);
        }
}

/* Lets a worker start accepting, and the fleet process join the fleet. */
static void let_serve(const struct child *c)
{
    bool is_told = c->role == ROLE_WORKER || c->role == ROLE_FLEET;

    if (is_told && channel_tell(c->channel.fd, NOTE_SERVE, 0, 0, NULL) < 0)
        kill(c->pid, SIGKILL); /* it has not read for a long time: start another one */
}

static void become_current(struct master *m, struct generation *g)
{
    struct generation *before = m->current;

    keep_children(m, before, g);
    take_thawed(m, g);
    g->state = GENERATION_CURRENT;
    m->current = g;
    m->coming = NULL;
    loop_alarm_off(&m->loop, &g->deadline);
    for (struct child *c = m->children; c; c = c->next)
        if (c->generation == g)
            let_serve(c);
    listeners_drop(&m->listeners, g->config);
    log_open(g->config->log, g->config->log_level, "master");
    if (before) {
        retire(m, before);
        return;
    }
    log_ready(m, g);
    char text[SERVES_TEXT];
    tell_serves(m, g, text);
    reload_if_asked(m);
}

void generation_release_all(struct master *m)
{
    while (m->generations)
        release(m, m->generations);
}

/* How many children of a role a generation starts. */
static uint32_t starts_of(const struct generation *g, enum role_id role)
{
    if (role == ROLE_FREEZER && g->thaws)
        return 1;
    return is_kept(g, role) ? 0 : role_table[role].count(g->config);
}

/* The role and index of the n-th child that a generation starts; workers come last, because they
 * use the others. False if there are fewer. */
static bool nth_child(const struct generation *g, uint32_t n, enum role_id *role, uint32_t *index)
{
    for (int r = ROLE_COUNT - 1; r >= 0; r--) {
        uint32_t count = starts_of(g, (enum role_id)r);
        if (n < count) {
            *role = (enum role_id)r;
            *index = n;
            return true;
        }
        n -= count;
    }
    return false;
}

/* How many children a generation starts. */
static uint32_t count_starts(const struct generation *g)
{
    uint32_t n = 0;

    for (int r = 0; r < ROLE_COUNT; r++)
        n += starts_of(g, (enum role_id)r);
    return n;
}

/* Starts all children at once if no generation serves yet. Otherwise it starts one, a pause after
 * the previous one is ready: the other processors stay free for mail, and no message meets several
 * starts. */
static int start_children(struct master *m, struct generation *g)
{
    enum role_id role;
    uint32_t index;

    while ((!m->current || is_ready(m, g)) && nth_child(g, g->started, &role, &index)) {
        int error = child_add(m, g, role, index);
        if (error)
            return error;
        g->started++;
    }
    return 0;
}

/* All of it is ready. */
static void serve(struct master *m, struct generation *g)
{
    struct buf errors = {0};
    int r = listeners_listen(&m->listeners, &errors);

    master_log_lines(LOG_ERROR, &errors);
    buf_free(&errors);
    if (r < 0)
        give_up(m, g, "it cannot listen for all of its workers; see the log");
    else
        become_current(m, g);
}

static void go_on(struct master *m, struct generation *g)
{
    if (start_children(m, g) < 0)
        give_up(m, g, "not all of its processes can be started; see the log");
    else if (is_ready(m, g))
        serve(m, g);
}

static void pause_is_over(struct loop *loop, struct alarm *a)
{
    struct master *m = master_of(loop);

    if (!m->stopping)
        go_on(m, container_of(a, struct generation, pause));
}

void generation_child_ready(struct master *m, struct child *c)
{
    struct generation *g = c->generation;

    if (g->state == GENERATION_CURRENT)
        let_serve(c);
    if (g->state != GENERATION_COMING)
        return;
    /* they start one after the other, so there is no limit for all of them together */
    loop_alarm(&m->loop, &g->deadline, m->loop.now + COMING_MS);
    uint32_t all = count_starts(g);
    if (!m->current || g->started == all) {
        go_on(m, g);
        return;
    }
    g->pause.due = pause_is_over;
    loop_alarm(&m->loop, &g->pause,
               m->loop.now + (PAUSE_MS * all < PAUSES_MS ? PAUSE_MS : PAUSES_MS / all));
}

void generation_child_died(struct master *m, struct generation *g)
{
    if (g->state == GENERATION_COMING && ++g->deaths >= COMING_DEATHS)
        give_up(m, g, "its processes cannot start; see the log");
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    struct generation *g = container_of(a, struct generation, deadline);

    give_up(master_of(loop), g, "its processes were not ready in time; see the log");
}

/* Mail still passes with an expired certificate, so it is no reason to refuse a configuration. */
static void warn_of_dates(const struct config *config)
{
    struct buf said = {0};

    (void)certificates_check_dates(&config->tls, &said);
    master_log_lines(LOG_WARN, &said);
    buf_free(&said);
}

/* Chooses the users that its processes run as. */
static void choose_users(const struct master *m, struct generation *g)
{
    struct buf said = {0};

    g->users = users_for(&m->runtime.users, g->config, &said);
    master_log_lines(LOG_WARN, &said);
    buf_free(&said);
}

int generation_start(struct master *m, struct config *config, struct asker asker,
                     uint64_t patience_ms, struct buf *errors)
{
    struct generation *g = calloc(1, sizeof *g);
    if (!g) {
        config_free(config);
        buf_addf(errors, "not enough memory\n");
        return -1;
    }
    *g = (struct generation){.id = ++m->last_generation,
                             .config = config,
                             .slots = config->workers + 1,
                             .clerks = config->clerks,
                             .asker = asker,
                             .listeners_before = m->listeners.count,
                             .deadline.due = time_is_up};
    int error = generation_share(g);
    if (!error && certificates_open(&config->tls, &g->tls, errors) < 0) {
        release(m, g);
        return -1;
    }
    warn_of_dates(config);
    choose_users(m, g);
    choose_kept(m, g);
    choose_thaws(m, g);
    if (!error)
        error = runtime_handoffs(&m->runtime, config->workers);
    if (!error)
        error = addresses_open(&g->addresses, config);
    for (const struct generation *earlier = m->generations; earlier; earlier = earlier->next)
        addresses_inherit(g->addresses, config, earlier->addresses, earlier->config);
    for (size_t i = 0; i < config->backend_count; i++)
        counts_name(m->runtime.counts, config->backend[i].name);
    if (error)
        buf_addf(errors, "cannot make sockets or mappings: %s\n", strerrordesc_np(-error));
    if (error || listeners_add(&m->listeners, config, g->id, patience_ms, errors) < 0) {
        release(m, g);
        return -1;
    }
    listeners_watch(m);
    share_thawed(m, g);
    g->next = m->generations;
    m->generations = g;
    m->coming = g;
    loop_alarm(&m->loop, &g->deadline, m->loop.now + COMING_MS);
    /* Joins the many small blocks that reading the configuration has freed. Otherwise each child
     * would do so at its first larger allocation, and get its own copy of every page. */
    malloc_trim(0);
    error = start_children(m, g);
    if (error) {
        buf_addf(errors, "cannot start processes: %s\n", strerrordesc_np(-error));
        g->asker = (struct asker){0};
        give_up(m, g, "processes cannot be started");
        return -1;
    }
    return 0;
}
