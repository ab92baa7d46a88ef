/* Reads and writes the octets of a connection, with TLS or without, and sets its epoll events. */
#ifndef MIRED_WORKER_IO_H
#define MIRED_WORKER_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "smtp/reply.h"

struct conn;
struct worker;

/* The connection's watch.ready: reads, writes, or deals with the client's end. May free it. */
void io_ready(struct loop *loop, struct watch *watch, uint32_t events);

/* Sends as much of work->out as the socket takes; the rest stays. False: the connection was broken,
 * and has been closed and freed. */
bool io_flush(struct worker *w, struct conn *c);

/* The same for the last octets of a connection, before io_end(): the kernel may keep them until
 * then, and sends them and the end in one packet. */
bool io_flush_last(struct worker *w, struct conn *c);

/* Sets the epoll events that the phase needs. */
void io_want(struct worker *w, struct conn *c);

/* The timer of CONN_READING. True: the client is sending a message and has kept `data_rate` octets
 * a second since the timer was set; the timer is set again. */
bool io_keeps_pace(struct worker *w, struct conn *c);

/* Ends our side: close_notify with TLS, then a shutdown. Unread input is discarded, so that the
 * close is not a reset. */
void io_end(struct worker *w, struct conn *c);

/* Sends a last line (421 ...), whatever the session's state is, as far as the socket takes it, and
 * ends our side. Frees nothing. */
void io_last_words(struct worker *w, struct conn *c, enum reply_id id);

#endif
