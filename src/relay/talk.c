/* A clerk's conversation with a backend; see talk.h. */
#include "relay/talk.h"

#include <errno.h>
#include <unistd.h>

#include "base/dial.h"
#include "base/proxy.h"
#include "config/config.h"

void talk_init(struct talk *t, const struct config_backend *backend, const char *hostname)
{
    *t = (struct talk){.backend = backend, .hostname = hostname, .fd = -1};
}

void talk_close(struct talk *t)
{
    if (t->fd >= 0)
        close(t->fd);
    reader_free(&t->reader);
    talk_init(t, t->backend, t->hostname);
}

static int failed(struct talk *t, int error)
{
    talk_close(t);
    return error;
}

int talk_say(struct talk *t, struct span out)
{
    int error = dial_send(t->fd, out.at, out.len);

    return error ? failed(t, error) : 0;
}

int talk_reply(struct talk *t, struct reply *r)
{
    for (;;) {
        switch (reader_take(&t->reader, &t->left, r)) {
        case READER_REPLY: return r->code == 421 ? failed(t, -ECONNRESET) : 0;
        case READER_BROKEN: return failed(t, -EBADMSG);
        case READER_MORE: break;
        }
        ssize_t n = dial_recv(t->fd, t->input, sizeof t->input);
        if (n < 0)
            return failed(t, (int)n);
        t->left = (struct span){t->input, (size_t)n};
    }
}

/* A backend that waits for a PROXY header waits for it from us too: this conversation is about
 * nobody. */
static int say_whose(struct talk *t)
{
    const struct config_backend *backend = t->backend;
    struct buf header = {0};

    if (!backend->proxy_protocol)
        return 0;
    int error = proxy_write(&header, backend->proxy_protocol, NULL, &backend->addr);
    error = error ? failed(t, error) : talk_say(t, buf_span(&header));
    buf_free(&header);
    return error;
}

static int greet(struct talk *t)
{
    struct buf hello = {0};
    struct reply r;

    int error = talk_reply(t, &r);
    if (!error && r.code != 220)
        error = failed(t, -ECONNREFUSED);
    if (error)
        return error;
    error = buf_addf(&hello, "%s %.255s\r\n", t->backend->kind == BACKEND_LMTP ? "LHLO" : "EHLO",
                     t->hostname);
    if (!error)
        error = talk_say(t, buf_span(&hello));
    buf_free(&hello);
    if (!error)
        error = talk_reply(t, &r);
    if (!error && r.code != 250)
        error = failed(t, -ECONNREFUSED);
    return error;
}

int talk_ready(struct talk *t)
{
    if (t->fd >= 0)
        return 0;
    t->fd = dial(&t->backend->addr, t->backend->path, TALK_MS);
    if (t->fd < 0) {
        int error = t->fd;
        t->fd = -1;
        return error;
    }
    int error = say_whose(t);
    return error ? error : greet(t);
}
