/* Under which name a backend keeps a message, out of its last reply. Pure. */
#ifndef MIRED_RELAY_QUEUE_ID_H
#define MIRED_RELAY_QUEUE_ID_H

#include "base/bytes.h"

/* Finds the queue's id in the text of a 250 to the data, as Postfix ("Ok: queued as 4F2K9"), Exim
 * ("OK id=1u..."), sendmail and OpenSMTPD ("2fe1a Message accepted for delivery"), Exchange
 * ("<...> [InternalId=42, ...] Queued mail"), Dovecot, Cyrus and others say it. Empty: none is
 * known. */
struct span queue_id(struct span text);

#endif
