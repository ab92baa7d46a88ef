/* Octets in and out of a connection, under TLS or not, and what epoll is asked for meanwhile. */
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

/* Sends what is in work->out as far as the socket takes it; the rest stays. False: the connection
 * is broken, closed and freed. */
bool io_flush(struct worker *w, struct conn *c);

/* Asks epoll for what the phase needs. */
void io_want(struct worker *w, struct conn *c);

/* The timer of CONN_READING: whether the client sends a message and has kept `data_rate` octets a
 * second since the timer was set. The timer is set again then. */
bool io_keeps_pace(struct worker *w, struct conn *c);

/* Nothing more comes from us: close_notify under TLS, then a shutdown of our side. Input that is
 * not read is thrown away, so that the close is no reset. */
void io_end(struct worker *w, struct conn *c);

/* Sends a last line (421 ...) whatever the session's state, as far as the socket takes it, and ends
 * our side. Frees nothing. */
void io_last_words(struct worker *w, struct conn *c, enum reply_id id);

#endif
