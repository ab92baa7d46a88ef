/* How much memory this process may use. */
#ifndef MIRED_BASE_MEMORY_H
#define MIRED_BASE_MEMORY_H

#include <stdint.h>

/* Octets: the machine's memory, or the least limit of the process' control groups and of those above
 * them if that is less (memory.max of version 2, memory.limit_in_bytes of version 1). A group that
 * cannot be read counts as unlimited. */
uint64_t memory_of_process(void);

/* The same with the files of `proc` ("/proc/self/cgroup") and `root` ("/sys/fs/cgroup") in place of
 * the system's, and `machine` octets. */
uint64_t memory_within(const char *proc, const char *root, uint64_t machine);

#endif
