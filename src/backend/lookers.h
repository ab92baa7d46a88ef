/* Threads that keep the addresses of named backends current (addresses.h).
 *
 * getaddrinfo() blocks for as long as the machine's resolver does, which may be half a minute for a
 * name whose server does not answer. So several names are looked up at the same time, and each has
 * its own time for the next look-up: a slow name delays no other one. */
#ifndef MIRED_BACKEND_LOOKERS_H
#define MIRED_BACKEND_LOOKERS_H

struct addresses;
struct config;

enum {
    LOOKERS_MOST = 32,   /* names at the same time */
    LOOKERS_EACH_S = 60, /* between two look-ups of a name */
    LOOKERS_AGAIN_S = 2, /* while no address of it is known */
    /* A name that took longer is slow. If there are more names than threads, slow ones have half of
     * the threads. */
    LOOKERS_SLOW_MS = 1000,
};

/* Starts the threads, which run until the process ends; `p` and `config` must live as long. Waits
 * until each name has been looked up once, but not longer than `wait_s` seconds, so that the first
 * message finds an address. Call it once, in the process that fills the table, after it has been
 * confined. 0 or -errno. */
int lookers_start(struct addresses *p, const struct config *config, unsigned wait_s);

#endif
