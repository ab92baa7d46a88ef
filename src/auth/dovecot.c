/* Dovecot as the verifier: a kept connection to its auth-client socket, one question at a time.
 *
 * "no-penalty": waiting is the tarpit's business; Dovecot's own delay would keep a clerk. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/remote.h"
#include "base/dial.h"
#include "base/log.h"
#include "config/config.h"

enum { DOVECOT_MS = 10000, LINE_MAX_LEN = 8192 };

struct dovecot_auth {
    const struct config_auth *config;
    int fd;
    uint32_t id;
    size_t have;
    char line[LINE_MAX_LEN];
    bool told; /* that it cannot be asked */
};

struct dovecot_auth *dovecot_auth_open(const struct config_auth *config)
{
    struct dovecot_auth *d = calloc(1, sizeof *d);

    if (d) {
        d->config = config;
        d->fd = -1;
    }
    return d;
}

static void hang_up(struct dovecot_auth *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    d->have = 0;
}

void dovecot_auth_close(struct dovecot_auth *d)
{
    if (!d)
        return;
    hang_up(d);
    free(d);
}

/* The next line, without its end, as a string in `out`. 0 or -errno. */
static int read_line(struct dovecot_auth *d, char out[LINE_MAX_LEN])
{
    for (;;) {
        char *end = memchr(d->line, '\n', d->have);
        if (end) {
            size_t n = (size_t)(end - d->line);
            memcpy(out, d->line, n);
            out[n] = '\0';
            d->have -= n + 1;
            memmove(d->line, end + 1, d->have);
            return 0;
        }
        if (d->have == sizeof d->line)
            return -EBADMSG;
        ssize_t n = dial_recv(d->fd, d->line + d->have, sizeof d->line - d->have);
        if (n < 0)
            return (int)n;
        d->have += (size_t)n;
    }
}

static bool is_word(const char *line, const char *word)
{
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && (line[n] == '\t' || line[n] == '\0');
}

/* Its greeting, up to DONE: the major version must be ours. */
static int greet(struct dovecot_auth *d)
{
    char hello[64], line[LINE_MAX_LEN];

    snprintf(hello, sizeof hello, "VERSION\t1\t1\nCPID\t%ld\n", (long)getpid());
    int error = dial_send(d->fd, hello, strlen(hello));
    while (!error && !(error = read_line(d, line))) {
        if (is_word(line, "DONE"))
            return 0;
        if (is_word(line, "VERSION") && strncmp(line, "VERSION\t1\t", 10) != 0)
            error = -EPROTONOSUPPORT;
    }
    return error;
}

static int connected(struct dovecot_auth *d)
{
    if (d->fd >= 0)
        return 0;
    d->fd = dial(NULL, d->config->path, DOVECOT_MS);
    return d->fd < 0 ? d->fd : greet(d);
}

static bool has_field(const char *line, const char *field)
{
    for (const char *at = strchr(line, '\t'); at; at = strchr(at + 1, '\t'))
        if (is_word(at + 1, field))
            return true;
    return false;
}

/* The reply to question d->id. 0 or -errno. */
static int read_verdict(struct dovecot_auth *d, enum answer_result *result)
{
    char line[LINE_MAX_LEN], id[16];

    snprintf(id, sizeof id, "%u", d->id);
    for (;;) {
        int error = read_line(d, line);
        if (error)
            return error;
        bool good = is_word(line, "OK"), bad = is_word(line, "FAIL");
        const char *tab = strchr(line, '\t');
        if (!(good || bad) || !tab || !is_word(tab + 1, id))
            continue; /* what else it may say: another mechanism, an older question */
        bool later = has_field(line, "temp") || has_field(line, "code=temp_fail");
        *result = good ? ANSWER_YES : later ? ANSWER_LATER : ANSWER_NO;
        return 0;
    }
}

static int ask(struct dovecot_auth *d, struct span user, struct span password,
               const struct addr *client, enum answer_result *result)
{
    char ip[ADDR_TEXT], *response;
    struct buf line = {0};
    int error = connected(d);

    if (!error) {
        response = auth_plain_response(user, password);
        addr_format(client, ip);
        error = response ? buf_addf(&line,
                                    "AUTH\t%u\tPLAIN\tservice=smtp\trip=%s\tsecured\tno-penalty\t"
                                    "resp=%s\n",
                                    ++d->id, ip, response)
                         : -ENOMEM;
        if (response)
            explicit_bzero(response, strlen(response));
        free(response);
    }
    if (!error)
        error = dial_send(d->fd, line.at, line.len);
    if (line.at)
        explicit_bzero(line.at, line.len);
    buf_free(&line);
    if (!error)
        error = read_verdict(d, result);
    if (error)
        hang_up(d);
    return error;
}

enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client)
{
    enum answer_result result = ANSWER_LATER;
    bool kept = d->fd >= 0; /* it may have been closed over there meanwhile */
    int error = ask(d, user, password, client, &result);

    if (error && kept)
        error = ask(d, user, password, client, &result);
    if (error && !d->told)
        log_warn("auth dovecot: %s: %s", d->config->path, strerrordesc_np(-error));
    d->told = error != 0;
    return error ? ANSWER_LATER : result;
}
