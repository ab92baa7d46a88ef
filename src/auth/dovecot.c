/* Dovecot as the verifier: a kept connection to its auth-client socket.
 *
 * Requests have numbers, and answers come in any order: a right password's at once, a wrong one's
 * after half a second. So a request is recorded (`waiting`) and the clerk goes on. Only a caller
 * that needs the answer for its next request waits here, and passes on other answers that come
 * meanwhile. SCRAM's two messages are two requests; between them Dovecot keeps the login under its
 * number on that connection.
 *
 * A Dovecot that hangs must not keep the clerk from other queries. So the clerk waits only a moment
 * for its greeting, and after it has waited in vain it does not wait again for four times as long:
 * logins are then put off at once (`rest_ms`).
 *
 * "no-penalty": the tarpit delays clients; Dovecot's own delay would occupy a clerk. */
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

enum { DOVECOT_MS = 10000, GREETING_MS = 2000, RESTS = 4 };
enum { LINE_MAX_LEN = 8192, LOOK_MS = 2000, WAITING_MAX = 1024 };

struct waiting {
    uint32_t number; /* 0: none */
    struct auth_asker asker;
};

struct dovecot_auth {
    const struct config_auth *config;
    int fd;
    uint32_t id,
        connection;   /* numbers of the last query, over all connections, and of this connection */
    uint32_t offers;  /* enum smtp_auth */
    uint64_t look_ms; /* monotonic: do not connect before this, only to see what it offers */
    uint64_t rest_ms; /* likewise: do not wait for it before this, whatever is wanted */
    size_t have;
    char line[LINE_MAX_LEN];
    bool told; /* logged that it cannot be reached */
    auth_answered *answered;
    void *arg;
    struct waiting waiting[WAITING_MAX]; /* indexed by the number */
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

static void answer(struct dovecot_auth *d, struct waiting *w, enum answer_result result,
                   struct span text, struct span name)
{
    if (!w->number)
        return;
    w->number = 0;
    d->answered(d->arg, &w->asker, result, text, name);
}

static void hang_up(struct dovecot_auth *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    d->have = 0;
    for (size_t i = 0; i < WAITING_MAX; i++)
        answer(d, &d->waiting[i], ANSWER_LATER, (struct span){0}, (struct span){0});
}

void dovecot_auth_close(struct dovecot_auth *d)
{
    if (!d)
        return;
    hang_up(d);
    free(d);
}

/* Copies the next complete line, without its end, as a string to `out`. */
static bool take_line(struct dovecot_auth *d, char out[LINE_MAX_LEN])
{
    char *end = memchr(d->line, '\n', d->have);

    if (!end)
        return false;
    size_t n = (size_t)(end - d->line);
    memcpy(out, d->line, n);
    out[n] = '\0';
    d->have -= n + 1;
    memmove(d->line, end + 1, d->have);
    return true;
}

/* The same, but waits for a line. Returns 0 or -errno. */
static int read_line(struct dovecot_auth *d, char out[LINE_MAX_LEN])
{
    uint64_t until = clock_mono_ms() + DOVECOT_MS;

    while (!take_line(d, out)) {
        if (d->have == sizeof d->line)
            return -EBADMSG;
        if (clock_mono_ms() > until) /* an octet now and then */
            return -ETIMEDOUT;
        ssize_t n = dial_recv(d->fd, d->line + d->have, sizeof d->line - d->have);
        if (n < 0)
            return (int)n;
        d->have += (size_t)n;
    }
    return 0;
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

/* Reads Dovecot's greeting up to DONE; the major version must be ours. For LOGIN we collect name
 * and password ourselves, and send them as PLAIN. */
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

static bool rests(const struct dovecot_auth *d)
{
    return clock_mono_ms() < d->rest_ms;
}

/* Something has failed after so long a wait. A refused connection takes no time, and no rest. */
static int rest(struct dovecot_auth *d, uint64_t begun_ms, int error)
{
    uint64_t now = clock_mono_ms();

    if (error == -ETIMEDOUT)
        d->rest_ms = now + RESTS * (now - begun_ms);
    return error;
}

static int send_line(struct dovecot_auth *d, const void *at, size_t len)
{
    uint64_t begun = clock_mono_ms();

    return rest(d, begun, dial_send(d->fd, at, len));
}

static int connected(struct dovecot_auth *d)
{
    uint64_t begun = clock_mono_ms();

    if (d->fd >= 0)
        return 0;
    if (rests(d))
        return -ETIMEDOUT;
    d->fd = dial(NULL, d->config->path, GREETING_MS);
    d->connection++;
    int error = d->fd < 0 ? d->fd : greet(d);
    if (!error)
        dial_patience(d->fd, DOVECOT_MS);
    return rest(d, begun, error);
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

/* Reads the result in a line, and the number of the query; false if the line is not an answer. */
static bool is_answer(const char *line, uint32_t *number, enum answer_result *result)
{
    bool good = is_word(line, "OK"), more = is_word(line, "CONT"), bad = is_word(line, "FAIL");
    const char *tab = strchr(line, '\t');
    uint64_t n = 0;

    if (!(good || more || bad) || !tab ||
        !span_number((struct span){tab + 1, strcspn(tab + 1, "\t")}, &n))
        return false;
    bool later = has_field(line, "temp") || has_field(line, "code=temp_fail");
    *number = (uint32_t)n;
    *result = good ? ANSWER_YES : more ? ANSWER_MORE : later ? ANSWER_LATER : ANSWER_NO;
    return true;
}

/* Dovecot's own name for the account, in OK and in FAIL: the client's name after
 * auth_username_format, aliases and the rest of Dovecot's configuration. */
static struct span name_in(const char *line)
{
    return field_value(line, "user=");
}

/* Passes on an answer for which nobody waits here. */
static void hand_on(struct dovecot_auth *d, const char *line, uint32_t number,
                    enum answer_result result)
{
    struct waiting *w = &d->waiting[number % WAITING_MAX];
    struct buf text = {0};

    if (w->number != number)
        return; /* a login that took too long */
    if (result == ANSWER_MORE || (result == ANSWER_YES && read_data(line, false, &text) < 0))
        result = ANSWER_LATER;
    answer(d, w, result, buf_span(&text), name_in(line));
    buf_free(&text);
}

/* Waits for the reply to query `number`. Returns 0 or -errno. */
static int read_verdict(struct dovecot_auth *d, uint32_t number, enum answer_result *result,
                        struct buf *answer, struct buf *name)
{
    char line[LINE_MAX_LEN];
    uint32_t of;

    for (;;) {
        int error = read_line(d, line);
        if (error)
            return error;
        if (!is_answer(line, &of, result))
            continue;
        if (of != number) {
            hand_on(d, line, of, *result);
            continue;
        }
        if (name && (error = buf_add_span(name, name_in(line))))
            return error;
        return *result == ANSWER_NO || *result == ANSWER_LATER
                   ? 0
                   : read_data(line, *result == ANSWER_MORE, answer);
    }
}

int dovecot_auth_fd(const struct dovecot_auth *d)
{
    return d->fd;
}

void dovecot_auth_read(struct dovecot_auth *d)
{
    char line[LINE_MAX_LEN];
    enum answer_result result;
    uint32_t number;

    if (d->fd < 0)
        return;
    ssize_t n = recv(d->fd, d->line + d->have, sizeof d->line - d->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        hang_up(d);
        return;
    }
    d->have += (size_t)n;
    while (take_line(d, line))
        if (is_answer(line, &number, &result))
            hand_on(d, line, number, result);
    if (d->have == sizeof d->line)
        hang_up(d);
}

/* A query: a mechanism and the client's first response, as base64. */
struct dovecot_query {
    const char *mechanism, *options;
    struct span response;
    const struct addr *client;
};

static int send_query(struct dovecot_auth *d, const struct dovecot_query *q)
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
        error = send_line(d, line.at, line.len);
    if (line.at)
        explicit_bzero(line.at, line.len);
    buf_free(&line);
    return error;
}

static int ask(struct dovecot_auth *d, const struct dovecot_query *q, enum answer_result *result,
               struct buf *answer, struct buf *name)
{
    int error = send_query(d, q);
    uint64_t begun = clock_mono_ms();

    if (!error)
        error = rest(d, begun, read_verdict(d, d->id, result, answer, name));
    if (error)
        hang_up(d);
    return error;
}

/* Asks; and once more on a new connection if Dovecot had closed the kept one. */
static enum answer_result ask_surely(struct dovecot_auth *d, const struct dovecot_query *q,
                                     struct buf *answer, struct buf *name)
{
    enum answer_result result = ANSWER_LATER;
    bool kept = d->fd >= 0;

    if (rests(d))
        return result;
    int error = ask(d, q, &result, answer, name);
    if (error && kept)
        error = ask(d, q, &result, answer, name);
    tell(d, error);
    return error ? ANSWER_LATER : result;
}

enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client,
                                      struct buf *name)
{
    char *response = auth_plain_response(user, password);
    struct dovecot_query q = {"PLAIN", "", span_of(response), client};

    if (!response)
        return ANSWER_LATER;
    enum answer_result result = ask_surely(d, &q, NULL, name);
    explicit_bzero(response, strlen(response));
    free(response);
    return result == ANSWER_MORE ? ANSWER_LATER : result;
}

/* Whether Dovecot has closed the connection; it may have restarted with another configuration. */
static bool has_ended(const struct dovecot_auth *d)
{
    char c;

    return d->fd >= 0 && recv(d->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void dovecot_auth_tell(struct dovecot_auth *d, auth_answered *answered, void *arg)
{
    d->answered = answered;
    d->arg = arg;
}

/* Records that the answer to that request goes to `asker`. An earlier entry in the same place has
 * expired. */
static void wait_for(struct dovecot_auth *d, uint32_t number, const struct auth_asker *asker)
{
    struct waiting *w = &d->waiting[number % WAITING_MAX];

    answer(d, w, ANSWER_LATER, (struct span){0}, (struct span){0});
    *w = (struct waiting){number, *asker};
}

bool dovecot_auth_ask(struct dovecot_auth *d, struct span user, struct span password,
                      const struct addr *client, const struct auth_asker *asker)
{
    char *response = auth_plain_response(user, password);
    struct dovecot_query q = {"PLAIN", "", span_of(response), client};

    if (!response)
        return false;
    if (has_ended(d))
        hang_up(d);
    int error = send_query(d, &q);
    if (error)
        hang_up(d);
    else
        wait_for(d, d->id, asker);
    tell(d, error);
    explicit_bzero(response, strlen(response));
    free(response);
    return !error;
}

/* ---- SCRAM ---- */

enum answer_result dovecot_scram_begin(struct dovecot_auth *d, struct span message,
                                       const struct addr *client, struct dovecot_login *pending,
                                       struct buf *answer)
{
    struct buf response = {0};
    char *room = buf_room(&response, BASE64_LEN(message.len));

    if (!room)
        return ANSWER_LATER;
    response.len = (uint32_t)base64_encode(message, room);
    struct dovecot_query q = {"SCRAM-SHA-256", "final-resp-ok\t", buf_span(&response), client};
    enum answer_result result = ask_surely(d, &q, answer, NULL);
    buf_free(&response);
    *pending = (struct dovecot_login){d->connection, d->id};
    return result == ANSWER_YES ? ANSWER_LATER : result; /* the client has proven nothing yet */
}

bool dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_login *pending,
                       struct span message, const struct auth_asker *asker)
{
    struct buf line = {0};

    if (d->fd < 0 || pending->connection != d->connection)
        return false;
    int error = buf_addf(&line, "CONT\t%u\t", pending->id);
    char *room = error ? NULL : buf_room(&line, BASE64_LEN(message.len) + 1);
    if (room) {
        size_t len = base64_encode(message, room);
        room[len] = '\n';
        line.len += (uint32_t)len + 1;
        error = send_line(d, line.at, line.len);
        if (error)
            hang_up(d);
        else
            wait_for(d, pending->id, asker);
        tell(d, error);
    }
    buf_free(&line);
    return room && !error;
}

void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_login *pending)
{
    char line[32];

    if (d->fd < 0 || pending->connection != d->connection)
        return;
    snprintf(line, sizeof line, "CANCEL\t%u\n", pending->id);
    if (send_line(d, line, strlen(line)) < 0)
        hang_up(d);
}

/* ---- mechanisms ---- */

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
    /* A Dovecot that accepts connections and never answers must not occupy a clerk for long. */
    d->look_ms = clock_mono_ms() + LOOK_MS + 10 * (clock_mono_ms() - now_ms);
    return d->offers;
}
