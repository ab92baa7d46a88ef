/* Finds the id that a backend gave a message, in the backend's last reply. Pure. */
#ifndef MIRED_RELAY_QUEUE_ID_H
#define MIRED_RELAY_QUEUE_ID_H

#include "base/bytes.h"

/* Finds the queue's id in the text of a 250 to the data, as Postfix ("Ok: queued as 4F2K9"), Exim
 * ("OK id=1u..."), sendmail and OpenSMTPD ("2fe1a Message accepted for delivery"), Exchange ("<...>
 * [InternalId=42, ...] Queued mail"), Dovecot, Cyrus and others write it. Empty if there is none.
 * Borrowed from `text`. */
struct span queue_id(struct span text);

#endif
