/* Names on disk: an address's folder and a message's file. Pure. */
#ifndef MIRED_STORE_FOLDER_H
#define MIRED_STORE_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { FOLDER_NAME = 256, MESSAGE_NAME = 256 };

/* Writes the name of the folder for one part of an address (a folded local part or domain) and
 * returns its length. Different parts get different names. Whatever a client wrote, no name is ".",
 * "..", hidden, empty or longer than 255 octets, or contains '/' or NUL: such octets become %XX,
 * and an over-long name ends in a hash. */
size_t folder_name(struct span part, char out[FOLDER_NAME]);

/* Writes a name that is unique among all deliveries of all machines that share the folder (the
 * rules of Maildir): SECONDS.MmicrosecondsPpidQcount.HOST, with '/' and ':' of the host as \057 and
 * \072. */
void message_name(uint64_t wall_us, int pid, uint32_t count, const char *host,
                  char out[MESSAGE_NAME]);

#endif
