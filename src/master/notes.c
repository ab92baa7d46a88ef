/* Notes from children to the master: a table of their kinds and of the roles that may send them. A
 * child may have been compromised by what it parses, so a note from the wrong role is only logged.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "master/master.h"
#include "query/notes.h"

/* For lines in the log about what a child that was taken over can do any number of times. */
static bool is_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

/* A restarted web process does not know what workers reported to the one before it. */
static void ask_for_backends(struct master *m, const struct generation *g)
{
    for (struct child *w = m->children; w; w = w->next)
        if (w->role == ROLE_WORKER && w->generation == g && w->state == CHILD_READY)
            (void)child_tell(m, w, NOTE_BACKENDS);
}

static void ready(struct master *m, struct child *c, const struct note *n)
{
    if (c->state != CHILD_STARTING)
        return;
    c->state = CHILD_READY;
    sandbox_keep((unsigned)n->arg);
    if (c->role == ROLE_WEB)
        ask_for_backends(m, c->generation);
    generation_child_ready(m, c);
}

static void reload(struct master *m, struct child *c, const struct note *n)
{
    master_reload(m, (struct asker){c->pid, n->tag, n->arg == 1});
}

static void upgrade(struct master *m, struct child *c, const struct note *n)
{
    master_upgrade(m, (struct asker){c->pid, n->tag});
}

static void shut_down(struct master *m, struct child *c, const struct note *n)
{
    child_answer(m, c, n->tag, RESULT_DONE, n->arg ? "draining" : "stopping");
    if (n->arg)
        master_drain(m);
    else
        master_stop(m, 0);
}

static bool holds_connections(const struct child *c)
{
    return (c->role == ROLE_WORKER || c->role == ROLE_FREEZER) && c->channel.fd >= 0;
}

static void pong(struct master *m, struct child *c, const struct note *n)
{
    c->unanswered = 0;
    c->pongs = true;
}

static void draining(struct master *m, struct child *c, const struct note *n)
{
    c->accepts = false;
    generation_child_drains(m, c->generation);
}

/* Passes a connection on, with the worker's slot, by which the store counts. Workers do not have the
 * channel themselves: they would share one socket, and one that was taken over could shut it down for
 * all others, also for those after it. If there is no room, also in the slot's own queue, the worker
 * sees the end of its connection. */
static void to_store(struct master *m, struct child *c, const struct note *n)
{
    if (n->fds != 1)
        return;
    uint32_t dropped = store_queue_put(&m->loop, &m->store_queue, m->runtime.store_pair[0],
                                       c->index, n->fd[0], (struct span){n->text, n->len});
    if (dropped && is_power_of_two(dropped))
        log_warn(
            "connections of worker %u to the store are dropped (%u so far): it opens more than "
            "the store takes, or descriptors or memory are short",
            c->index, dropped);
}

/* Passed on only to the web process of the same generation: another generation may have other
 * backends, or reach them in another way. A backend that is up again is reported once, so if there
 * is no room or memory now, the worker is asked for all of them a moment later. */
static void backend(struct master *m, struct child *c, const struct note *n)
{
    for (struct child *w = m->children; w; w = w->next)
        if (w->role == ROLE_WEB && w->generation == c->generation && w->channel.fd >= 0 &&
            channel_may_again(channel_pass(w->channel.fd, n)) && c->state == CHILD_READY &&
            !c->owed)
            child_tell_later(m, c, NOTE_BACKENDS);
}

/* Holds are in workers and in the freezer, open connections in workers only. */
static bool is_asked(const struct child *c, uint32_t kind)
{
    if (kind == NOTE_CONNECTIONS)
        return c->role == ROLE_WORKER && holds_connections(c);
    return holds_connections(c) || c->role == ROLE_FREEZER;
}

/* Passes a note on to all workers and freezers, also those of earlier generations, which hold
 * connections too. They answer through the master and do not know the asker. Two web processes may
 * choose the same tag, so the notes in between also have the asker's process id. */
static uint64_t tag_between(const struct child *asker, const struct note *n)
{
    return (uint64_t)(uint32_t)asker->pid << 32 | (uint32_t)n->tag;
}

static int pass_on(const struct child *asker, const struct child *c, const struct note *n)
{
    struct note query = *n;

    if (!holds_connections(c))
        return -ENOTCONN;
    query.tag = tag_between(asker, n);
    return channel_pass(c->channel.fd, &query);
}

/* Whether passing a note on failed because the worker has just ended, which the master is about to
 * hear. It has no connections, so its answer is known and none is missed. */
static bool has_ended(const struct child *c, int error)
{
    return error == -EPIPE && c->role == ROLE_WORKER;
}

/* A process that cannot be reached (its channel is full, or it is a freezer that died, whose holds
 * still exist) counts as asked, so that its answer is missed. */
static void count(struct master *m, struct child *c, const struct note *n)
{
    int32_t asked = 0;

    for (const struct child *w = m->children; w; w = w->next)
        if (is_asked(w, n->kind) && !has_ended(w, pass_on(c, w, n)))
            asked++;
    channel_tell(c->channel.fd, n->kind, asked, n->tag, NULL);
}

/* The web process of such a tag; NULL: it has ended. */
static const struct child *asker_of(const struct master *m, uint64_t tag)
{
    const struct child *asker = child_by_pid(m, (pid_t)(tag >> 32));

    return asker && asker->role == ROLE_WEB && asker->channel.fd >= 0 ? asker : NULL;
}

/* Passes the note on unchanged. */
static void connections_told(struct master *m, struct child *c, const struct note *n)
{
    const struct child *asker = asker_of(m, n->tag);

    if (asker)
        channel_pass_text(asker->channel.fd, n->kind, n->arg, (uint32_t)n->tag, n->text);
}

/* ---- release ---- */

/* The name of a child for people: "worker 1 [4711]". */
static void name_of(const struct child *c, char out[48])
{
    if (c->role == ROLE_FREEZER)
        snprintf(out, 48, "the freezer");
    else
        snprintf(out, 48, "%s %u", role_table[c->role].name, c->index);
    size_t len = strlen(out);
    if (c->pid)
        snprintf(out + len, 48 - len, " [%d]", (int)c->pid);
}

static void tell_released(const struct child *asker, const struct child *c, int32_t answered,
                          const char *state, uint64_t tag)
{
    char text[128], name[48];

    name_of(c, name);
    snprintf(text, sizeof text, "%s %.8s %s", c->role == ROLE_FREEZER ? "frozen" : "held", state,
             name);
    channel_pass_text(asker->channel.fd, NOTE_RELEASED, answered, tag, text);
}

/* The worker has a release that it has not answered yet. */
static void owes(struct child *c, uint64_t tag)
{
    for (int i = CHILD_RELEASES - 1; i > 0; i--) /* the oldest is no longer waited for */
        c->releases[i] = c->releases[i - 1];
    c->releases[0] = tag;
}

static void has_paid(struct child *c, uint64_t tag)
{
    for (int i = 0; i < CHILD_RELEASES; i++)
        if (c->releases[i] == tag)
            c->releases[i] = 0;
}

void notes_worker_ended(struct master *m, struct child *c)
{
    for (int i = 0; i < CHILD_RELEASES; i++) {
        const struct child *asker = c->releases[i] ? asker_of(m, c->releases[i]) : NULL;
        if (asker)
            tell_released(asker, c, 0, "done", (uint32_t)c->releases[i]);
        c->releases[i] = 0;
    }
}

static void add_name(struct note *names, const struct child *c)
{
    char name[48];

    name_of(c, name);
    size_t len = strlen(name);
    if (names->len + len + 1 >= NOTE_TEXT)
        return;
    if (names->len)
        names->text[names->len++] = ',';
    memcpy(names->text + names->len, name, len);
    names->len += (uint32_t)len;
}

/* Tells the asker which processes are asked, and at once which cannot be reached. */
static void release(struct master *m, struct child *c, const struct note *n)
{
    struct note names = {.kind = NOTE_RELEASE, .tag = n->tag};

    for (const struct child *w = m->children; w; w = w->next)
        if (is_asked(w, n->kind)) {
            names.arg++;
            add_name(&names, w);
        }
    channel_send(c->channel.fd, &names);
    for (struct child *w = m->children; w; w = w->next) {
        if (!is_asked(w, n->kind))
            continue;
        int error = pass_on(c, w, n);
        if (error)
            tell_released(c, w, has_ended(w, error) ? 0 : error, "done", n->tag);
        else
            owes(w, tag_between(c, n));
    }
}

static void released(struct master *m, struct child *c, const struct note *n)
{
    const struct child *asker = asker_of(m, n->tag);

    if (strcmp(n->text, "done") == 0)
        has_paid(c, n->tag);
    if (asker)
        tell_released(asker, c, n->arg, strcmp(n->text, "done") == 0 ? "done" : "more",
                      (uint32_t)n->tag);
}

/* Adds before the numbers which connections they count. */
static void counted(struct master *m, struct child *c, const struct note *n)
{
    const struct child *asker = asker_of(m, n->tag);
    char text[NOTE_TEXT];

    snprintf(text, sizeof text, "%s %.*s", c->role == ROLE_FREEZER ? "frozen" : "held",
             NOTE_TEXT - 16, n->text);
    if (asker)
        channel_pass_text(asker->channel.fd, n->kind, n->arg, (uint32_t)n->tag, text);
}

/* ---- fleet ---- */

/* The one child of that role that serves now. */
static struct child *current_of(const struct master *m, enum role_id role)
{
    for (struct child *c = m->children; c; c = c->next)
        if (c->role == role && c->generation == m->current && c->channel.fd >= 0 &&
            c->state == CHILD_READY)
            return c;
    return NULL;
}

/* Web's query, with its process id for the way back. */
static void ask_fleet(struct master *m, struct child *c, const struct note *n)
{
    struct child *fleet = current_of(m, ROLE_FLEET);
    struct note query = *n;

    query.tag = (uint64_t)(uint32_t)c->pid << 32 | (uint32_t)n->tag;
    if (!fleet || channel_pass(fleet->channel.fd, &query) < 0)
        channel_tell(c->channel.fd, NOTE_FLEET_TOLD, -1, n->tag, NULL);
}

/* Passes the note on unchanged to the serving process of the other role. */
static void order(struct master *m, struct child *c, const struct note *n)
{
    struct child *to = current_of(m, c->role == ROLE_FLEET ? ROLE_WEB : ROLE_FLEET);

    if (to)
        channel_pass(to->channel.fd, n);
}

enum {
    FROM_FLEET = 1 << ROLE_FLEET,
    FROM_WORKER = 1 << ROLE_WORKER,
    FROM_WEB = 1 << ROLE_WEB,
    FROM_FREEZER = 1 << ROLE_FREEZER,
    FROM_ALL = ~0
};

static const struct {
    uint32_t kind;
    unsigned from;
    void (*take)(struct master *m, struct child *c, const struct note *n);
} notes[] = {
    {NOTE_READY, FROM_ALL, ready},          {NOTE_RELOAD, FROM_WEB, reload},
    {NOTE_SHUTDOWN, FROM_WEB, shut_down},   {NOTE_RELEASE, FROM_WEB, release},
    {NOTE_BACKEND, FROM_WORKER, backend},   {NOTE_LIST, FROM_WORKER, backend},
    {NOTE_UPGRADE, FROM_WEB, upgrade},      {NOTE_PONG, FROM_ALL, pong},
    {NOTE_COUNT, FROM_WEB, count},          {NOTE_COUNTED, FROM_WORKER | FROM_FREEZER, counted},
    {NOTE_DRAINING, FROM_WORKER, draining}, {NOTE_RELEASED, FROM_WORKER | FROM_FREEZER, released},
    {NOTE_CONNECTIONS, FROM_WEB, count},    {NOTE_CONNECTIONS_TOLD, FROM_WORKER, connections_told},
    {NOTE_FLEET_ASK, FROM_WEB, ask_fleet},  {NOTE_FLEET_TOLD, FROM_FLEET, connections_told},
    {NOTE_FLEET_DO, FROM_FLEET, order},     {NOTE_FLEET_DONE, FROM_WEB, order},
    {NOTE_TALLY, FROM_WEB, count},          {NOTE_TALLIED, FROM_WORKER | FROM_FREEZER, counted},
    {NOTE_STORE, FROM_WORKER, to_store},
};

/* A child that was taken over can send any number of notes: it must not fill the log. */
static void unexpected(struct child *c, uint32_t kind)
{
    uint32_t n = ++c->unexpected;

    if (is_power_of_two(n))
        log_warn("%s %u sent a note of kind %u: unexpected from this process (%u so far)",
                 role_table[c->role].name, c->index, kind, n);
}

void note_from_child(struct master *m, struct child *c, const struct note *n)
{
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        if (notes[i].kind == n->kind && notes[i].from & (1U << c->role)) {
            notes[i].take(m, c, n);
            return;
        }
    unexpected(c, n->kind);
}
