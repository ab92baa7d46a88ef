/* A Dovecot that a test plays: each connection to it is one end of a pair, and `server` the other.
 * Link with -Wl,--wrap=dial_at_once. */
#ifndef MIRED_TESTS_AUTH_PLAYED_DOVECOT_H
#define MIRED_TESTS_AUTH_PLAYED_DOVECOT_H

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/dial.h"

static int server = -1; /* our end of the last connection; -1: none */
static int connections; /* that were made */
static bool refuses;    /* it accepts none */

static void close_server(void)
{
    if (server >= 0)
        close(server);
    server = -1;
}

int __wrap_dial_at_once(const char *path);
int __wrap_dial_at_once(const char *path)
{
    int pair[2];

    if (refuses)
        return -ECONNREFUSED;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    close_server();
    server = pair[1];
    connections++;
    return pair[0];
}

#endif
