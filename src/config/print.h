/* The active configuration as text. */
#ifndef MIRED_CONFIG_PRINT_H
#define MIRED_CONFIG_PRINT_H

#include "config/config.h"

/* Appends every key with its active value, in the form of mired.conf: reading it gives the same
 * configuration. In the main part and in `tarpit` a comment marks defaults. Files are named, their
 * contents never printed. Returns 0 or -ENOMEM. */
int config_print(const struct config *c, struct buf *out);

#endif
