/* Capabilities of the calling process (capabilities(7)), as sets of bits: 1 << CAP_... */
#ifndef MIRED_BASE_CAPABILITIES_H
#define MIRED_BASE_CAPABILITIES_H

#include <stdint.h>

/* Reads the permitted set. 0 or -errno. */
int capabilities_permitted(uint64_t *caps);

/* Makes these the effective and the permitted set, and empties the inheritable one. 0 or -errno. */
int capabilities_set(uint64_t caps);

#endif
