/* See puppet.c. */
#ifndef MIRED_DOOR_PUPPET_H
#define MIRED_DOOR_PUPPET_H

/* Lets this process do what the test's script says, when the test's signal comes. */
void puppet_wait(void);

#endif
