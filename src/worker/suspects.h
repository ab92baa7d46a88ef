/* The networks of `suspect`, whose clients start with offences (R16). Runs in workers; not
 * thread-safe. */
#ifndef MIRED_WORKER_SUSPECTS_H
#define MIRED_WORKER_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/siphash.h"
#include "config/config.h"

struct list_file;

struct suspects {
    struct network *slot; /* private: a hash table; bits 255: empty */
    uint32_t count, size;
    struct sipkey key;        /* private */
    bool has4[33], has6[129]; /* private: which lengths of prefix there are */
    const struct config *config;
    struct list_file **file; /* private: open until each has settled; NULL: none is */
    size_t files;
};

/* Reads everything that `config->suspect` names: networks, and "file:PATH" with one a line. A file
 * with a wrong line, or one that is being written, is not accepted: its earlier version counts
 * (list_file.h), or none, because mail does not wait for a list. `confirmed`: by a reload. False
 * without memory or a random key. */
bool suspects_open(struct suspects *s, const struct config *config, bool confirmed);
void suspects_close(struct suspects *s);

/* Checks files again that were being written, at monotonic `now_ms`. True: call it again in a
 * second. Files that have settled are read at start and reload only. */
bool suspects_look(struct suspects *s, uint64_t now_ms, uint64_t wall_ms);

/* The widest of these networks that contains the address; NULL if none does. The time does not
 * depend on their number. */
const struct network *suspects_find(const struct suspects *s, const struct addr *a);
bool suspects_contain(const struct suspects *s, const struct addr *a);

#endif
