/* socketmap: queries and answers as netstrings over a kept connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dial.h"
#include "config/config.h"
#include "directory/remote.h"

enum {
    SOCKETMAP_MS = 5000 /* to connect, and for a whole reply */,
    REPLY_MAX = 100000 /* Postfix's own limit */
};

struct socketmap_directory {
    const struct config_recipients *config;
    struct addr addr;
    const char *path; /* NULL: addr */
    int fd;
};

struct socketmap_directory *socketmap_directory_open(const struct config_recipients *config)
{
    struct socketmap_directory *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->config = config;
    s->fd = -1;
    s->path = config->path;
    if (strncmp(config->path, "inet:", 5) == 0) {
        (void)addr_parse_port(span_of(config->path + 5), &s->addr); /* checked with the rest */
        s->path = NULL;
    }
    return s;
}

static void hang_up(struct socketmap_directory *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void socketmap_directory_rest(struct socketmap_directory *s)
{
    hang_up(s);
}

bool socketmap_directory_is_open(const struct socketmap_directory *s)
{
    return s->fd >= 0;
}

void socketmap_directory_close(struct socketmap_directory *s)
{
    if (!s)
        return;
    hang_up(s);
    free(s);
}

/* As dial_recv(), but -ETIMEDOUT once the time of the reply is over, however little comes at a time. */
static ssize_t receive(int fd, void *at, size_t room, uint64_t until_ms)
{
    ssize_t n = dial_recv(fd, at, room);

    return n > 0 && clock_mono_ms() >= until_ms ? -ETIMEDOUT : n;
}

/* Reads "LENGTH:" of a netstring octet by octet, so as to read nothing after it. -errno if it is
 * not valid. */
static int read_length(int fd, uint64_t until_ms)
{
    size_t length = 0;
    char c;

    for (int digits = 0; digits < 7; digits++) {
        ssize_t n = receive(fd, &c, 1, until_ms);
        if (n < 0)
            return (int)n;
        if (c == ':' && digits)
            return (int)length;
        if (c < '0' || c > '9')
            return -EBADMSG;
        length = length * 10 + (size_t)(c - '0');
        if (length > REPLY_MAX)
            return -EBADMSG;
    }
    return -EBADMSG;
}

/* Reads a reply, and writes its first octets, which are its kind, into `word`. Returns 0 or
 * -errno. */
static int read_reply(int fd, char word[10])
{
    char rest[4096];
    uint64_t until_ms = clock_mono_ms() + SOCKETMAP_MS;
    int length = read_length(fd, until_ms);

    if (length < 0)
        return length;
    memset(word, 0, 10);
    size_t left = (size_t)length + 1, at = 0; /* with its comma */
    while (left) {
        ssize_t n = receive(fd, rest, left < sizeof rest ? left : sizeof rest, until_ms);
        if (n < 0)
            return (int)n;
        for (size_t i = 0; i < (size_t)n && at < 9 && at < (size_t)length; i++)
            word[at++] = rest[i];
        left -= (size_t)n;
        if (left == 0 && rest[n - 1] != ',')
            return -EBADMSG;
    }
    return 0;
}

static int ask(struct socketmap_directory *s, struct span query, char word[10])
{
    if (s->fd < 0)
        s->fd = dial(&s->addr, s->path, SOCKETMAP_MS);
    if (s->fd < 0)
        return s->fd;
    int error = dial_send(s->fd, query.at, query.len);
    if (!error)
        error = read_reply(s->fd, word);
    if (error)
        hang_up(s);
    return error;
}

enum answer_result socketmap_directory_ask(struct socketmap_directory *s, struct span key)
{
    struct buf query = {0};
    char word[10] = "";
    bool kept = s->fd >= 0;

    if (buf_addf(&query, "%zu:%s %.*s,", strlen(s->config->map) + 1 + key.len, s->config->map,
                 (int)key.len, key.at) < 0)
        return ANSWER_LATER;
    int error = ask(s, buf_span(&query), word);
    if (error && kept) /* the server may have closed it meanwhile */
        error = ask(s, buf_span(&query), word);
    buf_free(&query);
    if (error)
        return ANSWER_SILENCE;
    if (strncmp(word, "OK", 2) == 0 && (word[2] == ' ' || word[2] == '\0'))
        return ANSWER_YES;
    return strncmp(word, "NOTFOUND", 8) == 0 ? ANSWER_NO : ANSWER_LATER;
}
