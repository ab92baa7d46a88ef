/* Removes what a store that was killed, or a power cut, has left in `tmp` of a mailbox. */
#ifndef MIRED_STORE_LEFTOVERS_H
#define MIRED_STORE_LEFTOVERS_H

#include <stdint.h>

/* How old a file in `tmp` must be. The Maildir specification gives the number: no delivery takes as
 * long. */
enum { LEFTOVERS_SECONDS = 36 * 3600 };

/* Removes the regular files in `mailbox`/tmp, as seen from folder `root`, that were neither written
 * nor linked for LEFTOVERS_SECONDS before `now_s` (seconds since 1970). Other programs may have made
 * them. Errors are ignored: the files stay until the next call. Returns how many files were removed.
 * Thread-safe. */
unsigned leftovers_remove(int root, const char *mailbox, int64_t now_s);

#endif
