/* The web process: control socket, and its line to the master. Never in the path of mail; when it
 * dies nothing but a picture is gone.
 *
 * One loop. A command that is the master's goes there as a note with a tag; the note that comes
 * back with that tag is the answer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/scheduling.h"
#include "query/notes.h"
#include "web/web_part.h"

enum { FINISH_MS = 1500 }; /* for answers in progress at the end; the master waits 2 s */

void web_ask_master(struct web *w, struct control *c, uint32_t kind, int32_t arg, const char *text)
{
    uint64_t tag = ++w->last_tag;
    int error = channel_tell(w->params->control, kind, arg, tag, text);

    if (error)
        control_fail(c, CONTROL_REFUSED, "cannot reach the master: %s", strerrordesc_np(-error));
    else
        c->tag = tag;
}

struct control *web_asker(const struct web *w, uint64_t tag)
{
    struct control *c = w->controls;

    while (c && c->tag != tag)
        c = c->next;
    return tag ? c : NULL;
}

static void take_result(struct web *w, const struct note *n)
{
    struct control *c = web_asker(w, n->tag);

    if (!c)
        return;
    c->tag = 0;
    if (n->arg == 0)
        control_done(c, json_pack("{s:s}", "text", n->text));
    else
        control_fail(c, CONTROL_REFUSED, "%s", n->text);
    control_resume(c);
}

/* "NAME up" or "NAME down". */
static void take_backend(struct web *w, const struct note *n)
{
    const char *space = strrchr(n->text, ' ');
    size_t len = space ? (size_t)(space - n->text) : 0;
    unsigned i = 0;

    if (len == 0 || len >= sizeof w->backend[0].name)
        return;
    while (i < w->backends &&
           (strncmp(w->backend[i].name, n->text, len) != 0 || w->backend[i].name[len]))
        i++;
    if (i == WEB_BACKENDS)
        return;
    if (i == w->backends) {
        memcpy(w->backend[i].name, n->text, len);
        w->backends++;
    }
    w->backend[i].up = strcmp(space, " up") == 0;
}

/* "ZONE its state". */
static void take_list(struct web *w, const struct note *n)
{
    size_t len = strcspn(n->text, " ");
    unsigned i = 0;

    if (len == 0 || !n->text[len] || len >= sizeof w->list[0].zone)
        return;
    while (i < w->lists && (strncmp(w->list[i].zone, n->text, len) != 0 || w->list[i].zone[len]))
        i++;
    if (i == WEB_LISTS)
        return;
    if (i == w->lists) {
        memcpy(w->list[i].zone, n->text, len);
        w->lists++;
    }
    snprintf(w->list[i].state, sizeof w->list[i].state, "%s", n->text + len + 1);
}

/* ---- the end ---- */

static void time_is_up(struct loop *loop, struct alarm *a)
{
    loop->stop = true;
}

void web_end_when_done(struct web *w)
{
    if (w->finishing && !w->controls && !http_is_busy(w))
        w->loop.stop = true;
}

/* No more questions are taken; those that have been asked are answered. */
static void finish(struct web *w)
{
    if (w->finishing)
        return;
    w->finishing = true;
    w->finish.due = time_is_up;
    loop_alarm(&w->loop, &w->finish, w->loop.now + FINISH_MS);
    http_finish(w);
    control_finish(w);
    web_end_when_done(w);
}

static void channel_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct web *w = web_of(loop);
    struct note n;
    int r;

    while ((r = channel_read(watch->fd, &n)) == 1) {
        switch (n.kind) {
        case NOTE_RESULT: take_result(w, &n); break;
        case NOTE_BACKEND: take_backend(w, &n); break;
        case NOTE_LIST: take_list(w, &n); break;
        case NOTE_COUNT:
        case NOTE_COUNTED:
        case NOTE_RELEASE:
        case NOTE_RELEASED: holders_note(&w->steering.holders, &n); break;
        case NOTE_CONNECTIONS: connections_asked(w, &n); break;
        case NOTE_CONNECTIONS_TOLD: connections_told(w, &n); break;
        case NOTE_STOP: finish(w); break;
        case NOTE_PING: channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL); break;
        default: break;
        }
    }
    if (r != -EAGAIN && r != -EBADMSG) { /* the master is gone */
        loop_forget(loop, watch);
        loop->stop = true;
    }
}

static int open_all(struct web *w)
{
    int error = loop_open(&w->loop);

    if (!error)
        error = control_open(w, w->params->control_listen);
    if (!error)
        error = http_open(w);
    if (!error)
        error = recipient_open(w);
    w->channel =
        (struct watch){.fd = w->params->control, .events = EPOLLIN, .ready = channel_ready};
    return error ? error : loop_watch(&w->loop, &w->channel);
}

int web_run(const struct web_params *params)
{
    struct web *w = calloc(1, sizeof *w);
    if (!w)
        return 1;
    w->params = params;
    w->steering = (struct steering){.ledger = params->ledger,
                                    .config = params->config,
                                    .undo = undo_open(),
                                    .holders = {.loop = &w->loop, .channel = params->control}};
    int error = open_all(w);
    if (error) {
        log_error("the web process cannot start: %s", strerrordesc_np(-error));
        return 1;
    }
    sched_normal();
    channel_tell(params->control, NOTE_READY, 0, 0, NULL);
    loop_run(&w->loop);
    http_close(w);
    control_close(w);
    undo_close(w->steering.undo);
    loop_close(&w->loop);
    free(w);
    return 0;
}
