/* Passwords and tokens in files of their own. */
#ifndef MIRED_BASE_SECRET_H
#define MIRED_BASE_SECRET_H

#include <stddef.h>

/* Reads the first line of the file into `line`, a string of `size` octets at most, without its end.
 * No copy is left in a buffer. Never waits for a writer: a pipe without one is empty. Returns 0, or
 * -errno with an empty line. Thread-safe. */
int secret_read(const char *path, char *line, size_t size);

#endif
