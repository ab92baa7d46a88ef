/* What the property tests of the fleet (P8) share: dice, members that do not hear each other, a
 * state file from before, and runs over many seeds. */
#ifndef MIRED_TESTS_FLEET_PROPERTY_H
#define MIRED_TESTS_FLEET_PROPERTY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed;

/* From 0 to below `most`. */
static inline uint32_t dice(uint32_t most)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % most;
}

/* `cut` is a set of members that the rest cannot hear, nor they the rest. */
static inline bool is_cut(uint32_t cut, unsigned a, unsigned b)
{
    return (cut >> a & 1) != (cut >> b & 1);
}

static inline void copy(const char *from, const char *to)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* Runs with the seeds of 1 to `many`, each with the same folder for its files. */
static inline void over_seeds(uint64_t many, void (*run)(uint64_t with, const char *folder))
{
    char folder[] = "/tmp/mired-fleet-XXXXXX", command[64];

    assert_non_null(mkdtemp(folder));
    for (uint64_t with = 1; with <= many; with++) {
        seed = with * 2654435761 + 88172645463325252;
        run(with, folder);
    }
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

#endif
