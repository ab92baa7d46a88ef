/* What a refused connection means while the backend serves others. Private to src/backend.
 *
 * A backend may accept fewer connections than the workers open together: Postfix
 * (smtpd_client_connection_count_limit), Exim (smtp_accept_max), a firewall. It refuses the others,
 * closes them, or leaves them without an answer. Then it is not down. The worker uses as many links
 * as it accepts, and tries one more after POOL_LIMITED_MS. A worker that has none, while others of
 * this machine have some, keeps its deliveries and asks those for a link (base/sharing.h): each
 * closes one that is idle now or next, and none is closed under a message.
 *
 * A link that has named one client (PROXY) says nothing of this: see link_is_of_client().
 *
 * Another worker's word is believed for POOL_DOUBT_MS only, because that worker may be hostile. */
#ifndef MIRED_BACKEND_LIMIT_H
#define MIRED_BACKEND_LIMIT_H

#include "backend/link.h"
#include "backend/pool.h"

/* Call it once for each backend, before its first link. */
void limit_open(struct backend *b);

/* The link `l`, which never served, was refused; NULL: it could not even be opened. `silent`: it got
 * no answer in time. False: as far as is known, the backend serves nobody. True: it does, and its
 * `retry` alarm is set. */
bool limit_refused(struct backend *b, const struct link *l, bool silent);

/* No link could be opened because this machine or process lacks something, as `why` says. False: this
 * worker has no link that serves. True: it has, and its `retry` alarm is set. */
bool limit_short(struct backend *b, const char *why);

/* A link has been opened. If nothing is heard on it while others have links, they are asked for one. */
void limit_opened(struct backend *b);

/* The link `l` is ready for the first time. If it is the first one since this worker gave one to
 * another, the backend has room for both, so no other worker is in need. */
void limit_ready(struct backend *b, const struct link *l);

/* How many links the backend may have now: `open_max`, or what it lately accepted. */
uint32_t limit_most(const struct backend *b);

/* Whether no link may be opened now although `limit_most` has room: others were asked for one. */
bool limit_asks(const struct backend *b);

/* Whether deliveries wait although there is no link: one is expected soon. */
bool limit_waits(const struct backend *b);

/* Sets the `retry` alarm if a link is to be tried soon. */
void limit_go_on(struct backend *b);

/* A link has become ready, or ended a delivery, or others may want it: looks whether to give one up.
 * It closes idle links. */
void limit_look(struct backend *b);

/* This worker has closed a link that served: another worker may have its place. If it still works,
 * the backend may count it for a moment. */
void limit_left(struct backend *b, bool works);

/* When to open a link after health_down(): earlier than its own retry if others have links. */
void limit_hurry(struct backend *b);

void limit_close(struct backend *b);

#endif
