/* Notes between the master and each of its children: a SOCK_SEQPACKET pair, one note a packet.
 *
 * A note may carry descriptors. Both sides use it without blocking; a note that finds the channel
 * full is dropped and -EAGAIN returned, for no process may wait for another. The end of the channel
 * (0 from channel_read) tells a child that its master is gone. */
#ifndef MIRED_BASE_CHANNEL_H
#define MIRED_BASE_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

enum note_kind {
    NOTE_READY = 1, /* child -> master: serving */
    NOTE_DRAIN,     /* master -> worker: accept no more, end with the last connection */
    NOTE_STOP,      /* master -> child: end within 2 s, telling clients 421 */
    NOTE_RELOAD,    /* web -> master: read the configuration again; answered by NOTE_RESULT */
    NOTE_RESULT,    /* master -> web: arg 0 is success; text says what happened */
    NOTE_RELEASE, /* web -> master -> workers: text is an address or a network: answer its holds now
                   */
    NOTE_SHUTDOWN, /* web -> master: stop; arg 1: drain first */
    NOTE_UPGRADE,  /* web -> master: run the new binary; answered by NOTE_RESULT */
    NOTE_BACKEND,  /* worker -> master -> web: text "NAME up|down" */
    NOTE_PING,     /* master -> worker, freezer, web: is your loop still turning? */
    NOTE_PONG,     /* the answer */
    NOTE_COUNT,    /* web -> master -> workers, freezer: text is a network: how many connections of
                      it are held? The master sends it back to web: arg is how many it asked */
    NOTE_COUNTED,  /* worker, freezer -> master -> web: arg is how many; text is what lists name a
                      single address, and the master puts before it what they are, as `status`
                      calls them: "held " or "frozen " */
    NOTE_SERVE,    /* master -> worker: take clients from now on */
    NOTE_BACKENDS, /* master -> worker: say NOTE_BACKEND and NOTE_LIST again, for who knew has died
                    */
    NOTE_LIST,     /* worker -> master -> web: text "ZONE what its test has come to" */
    NOTE_DRAINING, /* worker -> master: the answer to NOTE_DRAIN; it has taken its last client */
};

enum { NOTE_TEXT = 4096, NOTE_FDS = 4 };

struct note {
    uint32_t kind; /* enum note_kind */
    int32_t arg;
    uint64_t tag; /* what the asker chose; comes back in the answer */
    uint32_t len; /* of text */
    uint32_t fds; /* descriptors in fd[] */
    int fd[NOTE_FDS];
    char text[NOTE_TEXT];
};

/* Both ends, non-blocking and close-on-exec. Returns 0 or -errno. */
int channel_pair(int fd[2]);

/* Sends kind, arg, tag and text[len] (fds > 0: fd[] too, which stay open here). Returns 0 or
 * -errno. */
int channel_send(int fd, const struct note *n);

/* Shorthand without descriptors; text may be NULL. */
int channel_tell(int fd, uint32_t kind, int32_t arg, uint64_t tag, const char *text);

/* 1: a note was read (text is NUL-terminated, received descriptors are the caller's); 0: the other
 * end is gone; -EAGAIN: nothing there; other -errno: broken. */
int channel_read(int fd, struct note *n);

#endif
