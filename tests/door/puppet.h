/* See puppet.c. */
#ifndef MIRED_DOOR_PUPPET_H
#define MIRED_DOOR_PUPPET_H

/* Lets this process do what the test's script says, when the test's signal comes. */
void puppet_wait(void);

enum { PUPPET_ANSWER = 512 };

/* Gives mired the command to stop, over the control socket at `path`. 0 and the answer, "" if the
 * connection was closed without one; or -errno: there is no connection, or nobody answers. */
int puppet_command(const char *path, char answer[PUPPET_ANSWER]);

#endif
