/* Sets the scheduling policy and the time slice in one system call; see scheduling.h. */
#include "base/scheduling.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONG_TURN_NS = 100 * 1000 * 1000 }; /* the longest that the kernel grants */

/* The kernel's struct sched_attr in its first size. Its own header conflicts with <sched.h>. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t turn_ns, deadline_ns,
        period_ns; /* sched_runtime: the time slice under these policies */
};
_Static_assert(sizeof(struct attributes) == 48, "SCHED_ATTR_SIZE_VER0");

static void change(uint32_t from, uint32_t to, uint64_t turn_ns)
{
    struct attributes a = {.size = sizeof a};

    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) < 0 || a.policy != from)
        return;
    a.policy = to;
    a.turn_ns = turn_ns; /* 0: the default slice */
    syscall(SYS_sched_setattr, 0, &a, 0);
}

void sched_background(void)
{
    change(SCHED_OTHER, SCHED_BATCH, LONG_TURN_NS);
}

void sched_normal(void)
{
    change(SCHED_BATCH, SCHED_OTHER, 0);
}
