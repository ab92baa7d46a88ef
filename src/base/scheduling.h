/* How the kernel's scheduler is to treat this process, beside those that carry mail.
 *
 * A process that is only beginning, or ending, has time: it is to have the processor when nobody
 * who serves wants it. `nice` would do that, but only root may take it back. What anybody may take
 * back is a batch process's place (Linux) and the length of its turns (from 6.12 on): one who asks
 * for long turns waits longer for each, and is interrupted by whoever asks for short ones.
 *
 * Children inherit it. An administrator's own choice (a real-time or idle policy) is left alone.
 * Both may be called at any time, and cannot fail: where the kernel does not know it, or a sandbox
 * forbids it, all stays as it was. */
#ifndef MIRED_BASE_SCHEDULING_H
#define MIRED_BASE_SCHEDULING_H

/* There is time. */
void sched_background(void);

/* As usual: this process serves. */
void sched_normal(void);

#endif
