/* The networks of `suspect`: who comes from one starts with offences (R16). Runs in workers. */
#ifndef MIRED_WORKER_SUSPECTS_H
#define MIRED_WORKER_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"

struct suspects {
    struct network *slot; /* private: a hash table; bits 255: empty */
    uint32_t count, size;
    bool has4[33], has6[129]; /* private: which lengths of prefix there are */
};

/* Reads all that `list` names: networks, and "file:PATH" with one a line and # comments. What
 * cannot be read is warned about and left out: mail is not to wait for a list. False without
 * memory. */
bool suspects_open(struct suspects *s, const struct config_strings *list);
void suspects_close(struct suspects *s);

/* Adds a line to *said for each line of such a file's text that is no network, up to a few. Returns
 * how many there are. */
unsigned suspects_check_lines(struct span text, const char *path, struct buf *said);

/* The widest network of them that has it; NULL: none. Constant in their number. */
const struct network *suspects_find(const struct suspects *s, const struct addr *a);
bool suspects_contain(const struct suspects *s, const struct addr *a);

#endif
