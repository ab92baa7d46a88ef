/* Private to src/web: the process, for its files. */
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

/* Ends the process if it has been told to finish and no client waits for an answer. */
void web_end_when_done(struct web *w);

/* http.c: opens the page and /metrics. Returns 0 or -errno; logs each address that it cannot listen
 * on. */
int http_open(struct web *w);
/* Stops listening and ends the streams; pending requests are still answered. */
void http_finish(struct web *w);
bool http_is_busy(const struct web *w);
void http_close(struct web *w);

/* exposition.c: all metrics in Prometheus' text format. */
void exposition(const struct web *w, struct buf *out);

#endif
