/* For fuzz targets of mired as a client: the input is what the server says.
 *
 * dial(), dial_at_once() and dial_recv() are replaced (link with -Wl,--wrap=...). Each connection
 * gets the next part of the input, up to "CUT!", and then the server closes its side; when no part
 * is left, nothing listens. What mired sends is never read: it must fit into the socket's buffer.
 * With hostile_by_lines a read gets one line, as from a server that waits for each command; a reply
 * that nobody has asked for ends a session with a backend. */
#ifndef MIRED_FUZZ_HOSTILE_H
#define MIRED_FUZZ_HOSTILE_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/dial.h"
#include "base/log.h"
#include "config/config.h"

enum { HOSTILE_MAX = 16384, HOSTILE_CONNECTIONS = 64 };

static struct span hostile_left;
static bool hostile_listens, hostile_by_lines;
static int hostile_end[HOSTILE_CONNECTIONS];
static size_t hostile_ends;

/* What the server will say, over all connections. */
static inline void hostile_begin(const uint8_t *data, size_t size)
{
    static bool quiet;

    if (!quiet)
        log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    quiet = true;
    hostile_left = (struct span){(const char *)data, size};
    hostile_listens = true;
    hostile_ends = 0;
}

static inline void hostile_close(void)
{
    while (hostile_ends)
        close(hostile_end[--hostile_ends]);
}

/* Our end of the next connection, or -errno. */
static inline int hostile_connect(void)
{
    int pair[2];

    if (!hostile_listens || hostile_ends == HOSTILE_CONNECTIONS)
        return -ECONNREFUSED;
    const char *cut =
        hostile_left.len ? memmem(hostile_left.at, hostile_left.len, "CUT!", 4) : NULL;
    struct span part = span_first(hostile_left, cut ? (size_t)(cut - hostile_left.at) : SIZE_MAX);
    hostile_left = span_after(hostile_left, part.len + 4);
    hostile_listens = cut != NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    assert(send(pair[1], part.at, part.len, MSG_DONTWAIT) == (ssize_t)part.len);
    shutdown(pair[1], SHUT_WR);
    hostile_end[hostile_ends++] = pair[1];
    return pair[0];
}

int __wrap_dial(const struct addr *addr, const char *path, uint32_t ms);
int __wrap_dial(const struct addr *addr, const char *path, uint32_t ms)
{
    return hostile_connect();
}

ssize_t __wrap_dial_recv(int fd, void *at, size_t room);
ssize_t __wrap_dial_recv(int fd, void *at, size_t room)
{
    ssize_t n = recv(fd, at, room, hostile_by_lines ? MSG_PEEK : 0);

    if (n > 0 && hostile_by_lines) {
        size_t line = span_find((struct span){at, (size_t)n}, '\n') + 1;
        n = recv(fd, at, line < (size_t)n ? line : (size_t)n, 0);
    }
    return n > 0 ? n : n == 0 ? -ECONNRESET : -errno;
}

int __wrap_dial_at_once(const char *path);
int __wrap_dial_at_once(const char *path)
{
    return hostile_connect();
}

/* A configuration with these sections, read once by each target and never freed. */
static inline struct config *hostile_config(const char *sections)
{
    struct config *config = NULL;
    struct buf text = {0}, said = {0};
    char path[64];
    int fd = memfd_create("conf", MFD_CLOEXEC);

    assert(
        buf_addf(&text,
                 "user = \"root\"\nhostname = \"mx.example.org\"\ndomains = { \"example.org\" }\n"
                 "listen \"127.0.0.1:2525\" { }\n%s",
                 sections) == 0);
    assert(fd >= 0 && write(fd, text.at, text.len) == (ssize_t)text.len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (config_read(path, &config, &said) < 0) {
        fprintf(stderr, "%.*s\n", (int)said.len, said.at);
        abort();
    }
    buf_free(&text);
    buf_free(&said);
    close(fd);
    return config;
}

#endif
