/* From a member to the struct that it is embedded in. */
#ifndef MIRED_BASE_CONTAINER_H
#define MIRED_BASE_CONTAINER_H

#include <stddef.h>

/* The `type` whose member `field` is at `member`, e.g. container_of(alarm, struct link, alarm). The
 * compiler checks that `member` is a pointer to the type of `field`; the check costs nothing. */
#define container_of(member, type, field)                                                          \
    ((type *)((char *)(member)-offsetof(type, field) + 0 * sizeof((member) == &((type *)0)->field)))

#endif
