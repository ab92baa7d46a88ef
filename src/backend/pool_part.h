/* Opens and closes the links of a backend, says what a link may be used for, and keeps the line of
 * those that wait for one. Private to src/backend. Everything runs in the worker's loop, and nothing
 * blocks. */
#ifndef MIRED_BACKEND_POOL_PART_H
#define MIRED_BACKEND_POOL_PART_H

#include "backend/link.h"
#include "backend/pool.h"

/* A PROXY header names one client for the whole connection, so each message has a connection of its
 * own. */
bool pool_is_single(const struct backend *b);

/* The link takes no other message: it is single, the backend ties the connection to one client,
 * another worker wants it, or it is in clear text and TLS is to be tried again. */
bool pool_link_is_spent(const struct link *l);

/* The link is old, and the next message may be for a user that was added since it was opened. */
bool pool_link_is_stale(const struct link *l);

/* Whether "no such user" may be about a user that was just added. */
bool pool_link_is_doubtful(const struct link *l, const struct delivery *d);

enum { POOL_NOT_NOW = 1 };

/* Prepares what links need for TLS, unless it is there. 0, or -errno: then no link is opened, because
 * it would be in clear text. */
int pool_open_tls(struct backend *b);

/* Opens a connection, for `d` if that is not NULL. 0; -errno: the backend is down; POOL_NOT_NOW: it
 * serves others, and another connection is tried later. */
int pool_link_open(struct backend *b, struct delivery *d);

/* Closes the link, and frees it unless it is `moving`. The caller has taken its delivery away. */
void pool_link_close(struct link *l);

/* Says QUIT, if that needs no TLS. */
void pool_link_quit(const struct link *l);

/* Closes every link that is idle. */
void pool_close_idle(struct backend *b);

/* An idle link that can take `d`; NULL: there is none. */
struct link *pool_idle_link(struct backend *b, const struct delivery *d);

/* ---- pool_more.c ---- */

/* Whether the backend may have another link now. */
bool pool_may_open(const struct backend *b);

/* Opens one for those that wait, if it may. */
void pool_more_links(struct backend *b);

/* A link that names its client was refused, or waits for long. Opens one in mired's own name, which
 * shows whether that is about the client or about all, unless one has just done so. */
void pool_ask_for_all(struct backend *b);

/* The client of a delivery was refused: others go first for a moment. */
void pool_stand_aside(struct backend *b, struct delivery *d);

/* Gives up those that wait when there is no link for them, and none is expected. */
void pool_send_away(struct backend *b);

/* The callback of b->retry. */
void pool_retry(struct loop *loop, struct alarm *a);

/* ---- pool_line.c: deliveries that wait for a link, in a fair order by client ----
 *
 * A backend may refuse one client that a PROXY header names: for a moment, because it has too many
 * connections of that client, or each time. Its delivery stands aside for a while, so that others
 * have the links, and then comes back to the line. */

/* Adds a delivery, whose alarm ends its wait at d->until_ms. False without memory. */
bool pool_line_add(struct backend *b, struct delivery *d);

/* The delivery whose turn it is; NULL if none waits. */
struct delivery *pool_line_first(const struct backend *b);

/* The same, which waits no more. Its alarm stays as it is. */
struct delivery *pool_line_take(struct backend *b);

/* Its client was refused: it stands aside for a pause, which is longer after each refusal. Its alarm
 * ends the wait as in the line. */
void pool_line_stand_aside(struct backend *b, struct delivery *d);

/* A delivery that stands aside and may come back now, or any (`all`); it does so no more. NULL: none. */
struct delivery *pool_line_back(struct backend *b, bool all);

/* Whether any delivery wants a link, in the line or aside. */
bool pool_line_any(const struct backend *b);

/* Removes a delivery if it waits, or stands aside. The turns of others stay as they are. */
void pool_line_drop(struct backend *b, struct delivery *d);

/* Frees the line when nobody waits any more. */
void pool_line_close(struct backend *b);

/* pool.c: the callbacks of a link. */
void pool_link_ready(struct loop *loop, struct watch *watch, uint32_t events);
void pool_link_due(struct loop *loop, struct alarm *a);

#endif
