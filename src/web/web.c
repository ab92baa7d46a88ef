/* The web process: the control socket, and the channel to the master. Never in the path of mail; if
 * it dies, no mail is affected.
 *
 * It has one loop. control/ has the socket and its commands, http.c the page. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "query/notes.h"
#include "web/confine.h"
#include "web/web.h"
#include "web/web_part.h"

enum { FINISH_MS = 1500 }; /* for answers in progress at the end, which comes within 2 s */

/* ---- the end ---- */

static void time_is_up(struct loop *loop, struct alarm *a)
{
    loop->stop = true;
}

void web_end_when_done(struct web *w)
{
    if (w->steering.finishing && !w->steering.controls && !http_is_busy(w))
        w->steering.loop.stop = true;
}

/* Accepts no more requests; pending ones are answered. */
static void finish(struct web *w)
{
    if (w->steering.finishing)
        return;
    w->steering.finishing = true;
    w->finish.due = time_is_up;
    loop_alarm(&w->steering.loop, &w->finish, w->steering.loop.now + FINISH_MS);
    http_finish(w);
    steering_finish(&w->steering);
    web_end_when_done(w);
}

static void channel_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct web *w = web_of(loop);
    struct note n;
    int r = 1;

    /* Requests and alarms have their turn, too, beside a worker that answers without end. */
    for (int i = 0; i < NOTES_IN_TURN && (r = channel_read_text(watch->fd, &n)) == 1; i++) {
        switch (n.kind) {
        case NOTE_STOP: finish(w); break;
        case NOTE_PING: channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL); break;
        default: steering_note(&w->steering, &n); break;
        }
    }
    if (channel_is_over(r)) { /* the master is gone */
        loop_forget(loop, watch);
        loop->stop = true;
    }
}

static void ended(struct loop *loop)
{
    web_end_when_done(web_of(loop));
}

static int open_all(struct web *w, const struct steering_params *params)
{
    int error = loop_open(&w->steering.loop);

    if (!error)
        error = steering_open(&w->steering, params, ended);
    if (!error)
        error = http_open(w);
    w->channel = (struct watch){.fd = params->control, .events = EPOLLIN, .ready = channel_ready};
    return error ? error : loop_watch(&w->steering.loop, &w->channel);
}

int web_run(const struct steering_params *params)
{
    struct web *w = calloc(1, sizeof *w);
    if (!w)
        return 1;
    int error = open_all(w, params);
    if (!error) {
        sched_normal();
        web_confine(params->config);
        error = steering_begin(&w->steering);
    }
    if (error) {
        log_error("the web process cannot start: %s", strerrordesc_np(-error));
        return 1;
    }
    int status = note_ready(params->control, sandbox_compiled());
    if (status == 0)
        loop_run(&w->steering.loop);
    http_close(w);
    steering_close(&w->steering);
    loop_close(&w->steering.loop);
    free(w);
    return status;
}
