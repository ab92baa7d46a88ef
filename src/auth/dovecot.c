/* Dovecot as the verifier: a kept connection to its auth-client socket, one question at a time.
 *
 * SCRAM's two messages are two questions; between them Dovecot keeps the login under its number on
 * that connection, and other questions are asked.
 *
 * "no-penalty": waiting is the tarpit's business; Dovecot's own delay would keep a clerk. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/remote.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/dial.h"
#include "base/log.h"
#include "config/config.h"
#include "smtp/session.h"

enum { DOVECOT_MS = 10000, LINE_MAX_LEN = 8192, LOOK_MS = 2000 };

struct dovecot_auth {
    const struct config_auth *config;
    int fd;
    uint32_t id, connection; /* the last question's, of all connections; this connection's */
    uint32_t offers;         /* enum smtp_auth */
    uint64_t look_ms;        /* monotonic: not to be connected to for a look before */
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
        d->offers = SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN;
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

static bool has_field(const char *line, const char *field)
{
    for (const char *at = strchr(line, '\t'); at; at = strchr(at + 1, '\t'))
        if (is_word(at + 1, field))
            return true;
    return false;
}

/* The value of "NAME=" in a line; empty when there is none. */
static struct span field_value(const char *line, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = strchr(line, '\t'); at; at = strchr(at + 1, '\t'))
        if (strncmp(at + 1, name, len) == 0)
            return (struct span){at + 1 + len, strcspn(at + 1 + len, "\t")};
    return (struct span){0};
}

/* MECH NAME PARAMETERS */
static uint32_t mechanism_of(const char *line)
{
    static const struct {
        const char *name;
        uint32_t offer;
    } known[] = {{"MECH\tPLAIN", SMTP_AUTH_PLAIN},
                 {"MECH\tLOGIN", SMTP_AUTH_LOGIN},
                 {"MECH\tSCRAM-SHA-256", SMTP_AUTH_SCRAM}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is_word(line, known[i].name) && !has_field(line, "private"))
            return known[i].offer;
    return 0;
}

/* Its greeting, up to DONE: the major version must be ours. LOGIN is between the client and us, and
 * what comes of it is asked as PLAIN. */
static int greet(struct dovecot_auth *d)
{
    char hello[64], line[LINE_MAX_LEN];
    uint32_t offers = 0;

    snprintf(hello, sizeof hello, "VERSION\t1\t1\nCPID\t%ld\n", (long)getpid());
    int error = dial_send(d->fd, hello, strlen(hello));
    while (!error && !(error = read_line(d, line))) {
        if (is_word(line, "DONE")) {
            d->offers = offers & SMTP_AUTH_PLAIN ? offers : offers & ~(uint32_t)SMTP_AUTH_LOGIN;
            return 0;
        }
        offers |= mechanism_of(line);
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
    d->connection++;
    return d->fd < 0 ? d->fd : greet(d);
}

static void tell(struct dovecot_auth *d, int error)
{
    if (error && !d->told)
        log_warn("auth dovecot: %s: %s", d->config->path, strerrordesc_np(-error));
    d->told = error != 0;
}

static int add_decoded(struct buf *to, struct span text)
{
    size_t len = 0;
    char *room = buf_room(to, text.len);

    if (!room)
        return -ENOMEM;
    if (!base64_decode(text, room, text.len, &len))
        return -EBADMSG;
    to->len += (uint32_t)len;
    return 0;
}

/* "CONT ID DATA" and "OK ID ... resp=DATA": the data goes to *answer. */
static int read_data(const char *line, bool more, struct buf *answer)
{
    const char *data = strchr(strchr(line, '\t') + 1, '\t');

    if (!answer)
        return 0;
    if (more)
        return add_decoded(answer, span_of(data ? data + 1 : ""));
    return add_decoded(answer, field_value(line, "resp="));
}

/* The reply to question `number`. 0 or -errno. */
static int read_verdict(struct dovecot_auth *d, uint32_t number, enum answer_result *result,
                        struct buf *answer)
{
    char line[LINE_MAX_LEN], id[16];

    snprintf(id, sizeof id, "%u", number);
    for (;;) {
        int error = read_line(d, line);
        if (error)
            return error;
        bool good = is_word(line, "OK"), more = is_word(line, "CONT"), bad = is_word(line, "FAIL");
        const char *tab = strchr(line, '\t');
        if (!(good || more || bad) || !tab || !is_word(tab + 1, id))
            continue; /* what else it may say: a login that took too long */
        bool later = has_field(line, "temp") || has_field(line, "code=temp_fail");
        *result = good ? ANSWER_YES : more ? ANSWER_MORE : later ? ANSWER_LATER : ANSWER_NO;
        return bad ? 0 : read_data(line, more, answer);
    }
}

/* What is asked: a mechanism and the client's first response, as base64. */
struct question {
    const char *mechanism, *options;
    struct span response;
    const struct addr *client;
};

static int ask(struct dovecot_auth *d, const struct question *q, enum answer_result *result,
               struct buf *answer)
{
    char ip[ADDR_TEXT];
    struct buf line = {0};
    int error = connected(d);

    addr_format(q->client, ip);
    if (!error)
        error = buf_addf(
            &line, "AUTH\t%u\t%s\tservice=smtp\trip=%s\tsecured\tno-penalty\t%sresp=%.*s\n",
            ++d->id, q->mechanism, ip, q->options, (int)q->response.len, q->response.at);
    if (!error)
        error = dial_send(d->fd, line.at, line.len);
    if (line.at)
        explicit_bzero(line.at, line.len);
    buf_free(&line);
    if (!error)
        error = read_verdict(d, d->id, result, answer);
    if (error)
        hang_up(d);
    return error;
}

/* A connection that was there already may have been closed over there meanwhile: then once more. */
static enum answer_result ask_surely(struct dovecot_auth *d, const struct question *q,
                                     struct buf *answer)
{
    enum answer_result result = ANSWER_LATER;
    bool kept = d->fd >= 0;
    int error = ask(d, q, &result, answer);

    if (error && kept)
        error = ask(d, q, &result, answer);
    tell(d, error);
    return error ? ANSWER_LATER : result;
}

enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client)
{
    char *response = auth_plain_response(user, password);
    struct question q = {"PLAIN", "", span_of(response), client};

    if (!response)
        return ANSWER_LATER;
    enum answer_result result = ask_surely(d, &q, NULL);
    explicit_bzero(response, strlen(response));
    free(response);
    return result == ANSWER_MORE ? ANSWER_LATER : result;
}

/* ---- SCRAM ---- */

enum answer_result dovecot_scram_begin(struct dovecot_auth *d, struct span message,
                                       const struct addr *client, struct dovecot_talk *talk,
                                       struct buf *answer)
{
    struct buf response = {0};
    char *room = buf_room(&response, BASE64_LEN(message.len));

    if (!room)
        return ANSWER_LATER;
    response.len = (uint32_t)base64_encode(message, room);
    struct question q = {"SCRAM-SHA-256", "final-resp-ok\t", buf_span(&response), client};
    enum answer_result result = ask_surely(d, &q, answer);
    buf_free(&response);
    *talk = (struct dovecot_talk){d->connection, d->id};
    return result == ANSWER_YES ? ANSWER_LATER : result; /* it has proven nothing yet */
}

enum answer_result dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_talk *talk,
                                     struct span message, struct buf *answer)
{
    enum answer_result result = ANSWER_LATER;
    struct buf line = {0};

    if (d->fd < 0 || talk->connection != d->connection)
        return ANSWER_LATER;
    int error = buf_addf(&line, "CONT\t%u\t", talk->id);
    char *room = error ? NULL : buf_room(&line, BASE64_LEN(message.len) + 1);
    if (room) {
        size_t len = base64_encode(message, room);
        room[len] = '\n';
        line.len += (uint32_t)len + 1;
        error = dial_send(d->fd, line.at, line.len);
        if (!error)
            error = read_verdict(d, talk->id, &result, answer);
        if (error)
            hang_up(d);
        tell(d, error);
    }
    buf_free(&line);
    return result == ANSWER_MORE || error ? ANSWER_LATER : result;
}

void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_talk *talk)
{
    char line[32];

    if (d->fd < 0 || talk->connection != d->connection)
        return;
    snprintf(line, sizeof line, "CANCEL\t%u\n", talk->id);
    if (dial_send(d->fd, line, strlen(line)) < 0)
        hang_up(d);
}

/* ---- what it offers ---- */

/* Closed over there: it may have been restarted, with another configuration. */
static bool has_ended(const struct dovecot_auth *d)
{
    char c;

    return d->fd >= 0 && recv(d->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

uint32_t dovecot_auth_offers(struct dovecot_auth *d, uint64_t now_ms)
{
    if (has_ended(d))
        hang_up(d);
    if (d->fd >= 0 || now_ms < d->look_ms)
        return d->offers;
    int error = connected(d);
    if (error)
        hang_up(d);
    tell(d, error);
    /* One that takes connections and then says nothing is not to keep a clerk for long. */
    d->look_ms = clock_mono_ms() + LOOK_MS + 10 * (clock_mono_ms() - now_ms);
    return d->offers;
}
