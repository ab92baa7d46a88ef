/* The name of a process in `ps` and `top`. */
#ifndef MIRED_MASTER_TITLE_H
#define MIRED_MASTER_TITLE_H

/* Remembers where the arguments are; call it once, at the beginning of main(). */
void title_init(int argc, char **argv);

/* Sets the command line to "mired: NAME", and the name to "mired NAME" (cut). */
void title_set(const char *name);

#endif
