/* Scheduling hints for the kernel: low priority while a process is starting or ending.
 *
 * A process that starts or ends should run only when no serving process needs the processor. `nice`
 * would do that, but only root may undo it. Any process may switch between SCHED_BATCH and
 * SCHED_OTHER and set its time slice (from Linux 6.12 on): a process with a long slice waits longer
 * for it and is preempted by those with short ones.
 *
 * Children inherit the setting. A policy that the administrator has set (real-time or idle) stays.
 * Both functions may be called at any time and cannot fail: if the kernel does not support the call
 * or a sandbox forbids it, nothing changes. */
#ifndef MIRED_BASE_SCHEDULING_H
#define MIRED_BASE_SCHEDULING_H

/* Low priority: this process is starting or ending. */
void sched_background(void);

/* Normal priority: this process serves. */
void sched_normal(void);

#endif
