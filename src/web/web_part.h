/* Private to src/web: the process as its files see it. */
#ifndef MIRED_WEB_WEB_PART_H
#define MIRED_WEB_WEB_PART_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/loop.h"
#include "control/steering.h"

struct http;

struct web {
    struct steering steering; /* first; has the loop */
    struct watch channel;
    struct http *http; /* NULL: no page */
    struct alarm finish;
};

static inline struct web *web_of(struct loop *loop)
{
    return (struct web *)loop;
}

/* Ends the process once it has been told to finish and nobody waits for an answer any more. */
void web_end_when_done(struct web *w);

/* http.c: the page and /metrics. 0 or -errno; an address that cannot be listened on is logged. */
int http_open(struct web *w);
/* Listens no more and ends the streams; what has been asked is answered still. */
void http_finish(struct web *w);
bool http_is_busy(const struct web *w);
void http_close(struct web *w);

/* exposition.c: all metrics in Prometheus' text format. */
void exposition(const struct web *w, struct buf *out);

#endif
