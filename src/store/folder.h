/* Names on disk: an address's folder and a message's file. Pure. */
#ifndef MIRED_STORE_FOLDER_H
#define MIRED_STORE_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { FOLDER_NAME = 256, MESSAGE_NAME = 256 };

/* Writes the name of the folder for one part of an address (a folded local part or domain) and
 * returns its length. Different parts get different names; none is ".", "..", hidden, empty, over
 * 255 octets, or holds
 * '/' or NUL, whatever a client wrote: such octets become %XX, and an over-long name ends in a
 * hash. */
size_t folder_name(struct span part, char out[FOLDER_NAME]);

/* Writes a name that no other delivery on any machine that shares the folder has (the rules of
 * Maildir): SECONDS.MmicrosecondsPpidQcount.HOST, with '/' and ':' of the host as \057 and \072. */
void message_name(uint64_t wall_us, int pid, uint32_t count, const char *host,
                  char out[MESSAGE_NAME]);

#endif
