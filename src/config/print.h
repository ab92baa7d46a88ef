/* The effective configuration as text. */
#ifndef MIRED_CONFIG_PRINT_H
#define MIRED_CONFIG_PRINT_H

#include "config/config.h"

/* Every key with the value that holds, as mired.conf would have it: read again it means the same.
 * Keys of the main part and of `tarpit` that are as they are by default say so in a comment. Names
 * of files, never their contents. 0 or -ENOMEM. */
int config_print(const struct config *c, struct buf *out);

#endif
