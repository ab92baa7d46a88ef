/* What mired-sim is doing, for somebody who waits at a terminal. */
#ifndef MIRED_SIM_PROGRESS_H
#define MIRED_SIM_PROGRESS_H

/* Shows the step that begins now, in place of the one before, on standard error; nothing where that
 * is no terminal. */
void progress_step(const char *what, const char *setting);

/* Takes the line away, before something else is printed. */
void progress_clear(void);

#endif
