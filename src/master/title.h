/* What `ps` and `top` call a process. */
#ifndef MIRED_MASTER_TITLE_H
#define MIRED_MASTER_TITLE_H

/* Remembers where the arguments stand; once, first thing in main(). */
void title_init(int argc, char **argv);

/* "mired: NAME" as the command line, "mired NAME" (cut) as the name. */
void title_set(const char *name);

#endif
