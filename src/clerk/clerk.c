/* The clerk process: takes a question, asks whoever knows, answers. Blocking and simple: a slow
 * directory keeps one clerk, and whichever is idle takes the next question. */
#include "clerk/clerk.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "auth/auth.h"
#include "base/channel.h"
#include "base/log.h"
#include "clerk/ask.h"
#include "config/config.h"
#include "directory/directory.h"

enum { ANSWER_WAIT_MS = 1000 };

struct clerk {
    const struct clerk_kit *kit;
    struct directory *directory;
    struct auth *auth;
};

static void send_answer(const struct clerk *c, uint16_t slot, const struct answer *a)
{
    if (slot >= c->kit->slots)
        return;
    int fd = c->kit->answer[slot];
    int r = answer_send(fd, a);
    if (r == -EAGAIN) { /* that worker is behind: it gets a moment, then its own time-out */
        poll(&(struct pollfd){fd, POLLOUT, 0}, 1, ANSWER_WAIT_MS);
        r = answer_send(fd, a);
    }
    if (r < 0)
        log_warn("an answer to worker %u was not taken: %s", slot, strerror(-r));
}

static void answer_one(struct clerk *c, struct ask *q)
{
    struct answer a = {.id = q->id};
    struct span first = {q->text, q->first}, second = {q->text + q->first, q->second};

    if (q->kind == ASK_RECIPIENT)
        directory_ask(c->directory, first, &a);
    else
        a.result = (uint16_t)auth_check(c->auth, first, second, &q->client);
    explicit_bzero(q->text, (size_t)q->first + q->second); /* it may have been a password */
    send_answer(c, q->slot, &a);
    directory_renew(c->directory);
}

/* Whether the master wants us to end. */
static bool told_to_stop(int control)
{
    struct note n;
    int r;

    while ((r = channel_read(control, &n)) == 1)
        if (n.kind == NOTE_STOP)
            return true;
    return r != -EAGAIN;
}

static void serve(struct clerk *c)
{
    struct pollfd fd[] = {{c->kit->control, POLLIN, 0}, {c->kit->ask, POLLIN, 0}};
    static struct ask q;

    for (;;) {
        if (poll(fd, 2, directory_look_after(c->directory)) < 0 && errno != EINTR)
            return;
        if (fd[0].revents && told_to_stop(c->kit->control))
            return;
        /* Another clerk may have been quicker: the queue does not block. */
        if (fd[1].revents & POLLIN && ask_read(c->kit->ask, &q) == 1)
            answer_one(c, &q);
        else if (fd[1].revents & (POLLHUP | POLLERR) && !(fd[1].revents & POLLIN))
            return;
    }
}

int clerk_run(const struct clerk_kit *kit)
{
    struct clerk c = {kit, directory_open(kit->config, kit->cache), auth_open(kit->config)};
    bool ready = c.directory && c.auth;

    if (ready) {
        channel_tell(kit->control, NOTE_READY, 0, 0, NULL);
        serve(&c);
    }
    directory_close(c.directory);
    auth_close(c.auth);
    return ready ? 0 : 1;
}
