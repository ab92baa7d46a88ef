/* Notes between two processes: a SOCK_SEQPACKET pair, one note a packet. The kinds of notes and
 * their meaning are in query/notes.h.
 *
 * A note may carry descriptors. Both ends are non-blocking, because no process may wait for
 * another: when the channel is full, the note is dropped and -EAGAIN returned. channel_read()
 * returns 0 when the other process is gone. */
#ifndef MIRED_BASE_CHANNEL_H
#define MIRED_BASE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NOTE_TEXT = 4096,
    NOTE_FDS = 4,
    NOTES_IN_TURN = 64, /* that a loop reads from one channel before others have their turn */
};

struct note {
    uint32_t kind; /* enum note_kind of query/notes.h */
    int32_t arg;
    uint64_t tag; /* chosen by the process that asks; the answer has the same */
    uint32_t len; /* of text */
    uint32_t fds; /* descriptors in fd[] */
    int fd[NOTE_FDS];
    char text[NOTE_TEXT];
};

/* Both ends, non-blocking and close-on-exec. Returns 0 or -errno. */
int channel_pair(int fd[2]);

/* Whether a process has shut down one end (shutdown(2)) or one end is closed. Asks about both
 * descriptors, so the caller must have both. */
bool channel_is_shut(const int fd[2]);

/* Whether nothing more can come in on a socket whose read has returned 0: an empty packet looks like
 * the end. */
bool channel_has_ended(int fd);

/* Sends kind, arg, tag and text[len], and copies of fd[] if fds > 0; the caller keeps its
 * descriptors. Returns 0 or -errno; -EAGAIN when the channel is full. */
int channel_send(int fd, const struct note *n);

/* The same for a note that another process wants to be passed on: -EAGAIN, too, when three quarters of
 * the channel are in use. So a process that was taken over cannot fill the channels of others, and
 * what the sender itself has to say finds room. */
int channel_pass(int fd, const struct note *n);

/* Shorthand without descriptors; text may be NULL. */
int channel_tell(int fd, uint32_t kind, int32_t arg, uint64_t tag, const char *text);
int channel_pass_text(int fd, uint32_t kind, int32_t arg, uint64_t tag, const char *text);

/* 1: a note was read (text is NUL-terminated, received descriptors are the caller's); 0: the other
 * end is gone; -EAGAIN: nothing there, or no memory for it now; -EBADMSG: a packet that is no note,
 * or whose descriptors found no room here, is dropped, and the next one can be read; other -errno:
 * broken. */
int channel_read(int fd, struct note *n);

/* The same for a process to which nobody has to send descriptors: those that come with a note, sent
 * by a process that was taken over, are dropped by the kernel. */
int channel_read_text(int fd, struct note *n);

/* Whether a read with this result was the last one: the other end is gone, or the channel is broken.
 * A packet that was dropped does not say so, nor a want of memory. */
bool channel_is_over(int result);

/* Whether a note that found no room, or no memory, may be sent again later. */
bool channel_may_again(int error);

/* Closes the descriptors of a note. */
void note_close(struct note *n);

#endif
