/* Dovecot as the verifier: a kept connection to its auth-client socket.
 *
 * Requests have numbers, and answers come in any order: a right password's at once, a wrong one's
 * after half a second, and one whose password database hangs never. So a request takes a place
 * (places.h), and the clerk goes on. SCRAM's two messages are two requests with one number; between
 * them Dovecot keeps the login under it, on that connection.
 *
 * Nothing here waits. A request that has no answer in time is "later", and other requests on the
 * connection go on. The connection itself ends if its greeting, or the rest of a line, does not come
 * in time, if Dovecot reads nothing, or if it sends much that answers nothing; then logins are "later"
 * at once for a while (`rest_ms`), because the next connection would be as bad.
 *
 * Lines that come are read in dovecot_lines.c; what an "OK" allows is in dovecot_ok.c.
 *
 * "no-penalty": the tarpit delays clients; Dovecot's own delay would occupy a connection. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/dovecot_lines.h"
#include "auth/dovecot_ok.h"
#include "auth/places.h"
#include "auth/remote.h"
#include "auth/scram.h"
#include "base/base64.h"
#include "base/container.h"
#include "base/dial.h"
#include "base/log.h"
#include "config/config.h"
#include "smtp/scram.h"
#include "smtp/session.h"

enum {
    GREETING_MS = 2000,   /* until the greeting is complete */
    STUCK_MS = 10000,     /* until the rest of a line has come, or Dovecot reads what we send */
    REST_MS = 2000,       /* without a try, after a connection that came to nothing */
    LOOK_MS = 2000,       /* between two tries to connect only to see what it offers */
    WAITING_MAX = 1024,   /* requests */
    OUT_MAX = 64 * 1024,  /* octets that Dovecot has not read yet */
    JUNK_MAX = 64 * 1024, /* octets of a greeting, or of lines that answer nothing */
    CANCEL_MAX = 32,      /* octets of a line that cancels a request */
};

/* A request without an answer. */
struct waiting {
    struct place place; /* its number is the request's */
    struct dovecot_request request;
    uint64_t until_ms;
    struct buf nonce; /* the client's, of SCRAM's first message */
    enum { PASSWORD, SCRAM_FIRST, SCRAM_SECOND } kind;
};

struct dovecot_auth {
    const struct config_auth *config;
    struct places *places;
    int fd;
    bool greeted;                   /* its greeting is complete */
    uint32_t id;                    /* the number of the last request, over all connections */
    uint32_t connection;            /* the number of this connection */
    uint32_t offers, coming_offers; /* enum smtp_auth; coming: of a greeting that is not complete */
    uint64_t begun_ms;              /* when the connection began */
    uint64_t look_ms;               /* do not connect before this, only to see what it offers */
    uint64_t rest_ms;               /* likewise, whatever is wanted */
    uint64_t due_ms;                /* the time of no request ends before this */
    uint64_t line_ms, unread_ms; /* since when a line is incomplete, and Dovecot reads nothing; 0 */
    size_t junk;                 /* octets since the last answer */
    uint32_t owed; /* requests that were given up: an answer to one of them is no junk */
    int told;      /* the error that was logged last, and when */
    uint64_t told_ms;
    struct dovecot_ok ok;
    struct dovecot_lines lines;
    size_t out_len;
    char out[OUT_MAX];
};

struct dovecot_auth *dovecot_auth_open(const struct config_auth *config, uint32_t slots)
{
    struct dovecot_auth *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->config = config;
    d->fd = -1;
    d->offers = SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN;
    d->due_ms = UINT64_MAX;
    d->places = places_open(WAITING_MAX, slots ? slots : 1);
    if (d->places)
        return d;
    free(d);
    return NULL;
}

/* ---- requests that wait ---- */

static struct waiting *waiting_of(struct place *place)
{
    return place ? container_of(place, struct waiting, place) : NULL;
}

/* Answers a request that has no place any more. */
static void answer(struct waiting *w, enum answer_result result, struct span text, struct span name)
{
    w->request.answered(w->request.arg, result, text, name);
    buf_free(&w->nonce);
    free(w);
}

static void answer_later(struct waiting *w)
{
    answer(w, ANSWER_LATER, (struct span){0}, (struct span){0});
}

/* Takes a request out of its place, to be answered by all_later(): an answer may lead to another
 * request, so nothing may be in the middle of something then. */
static void take_out(struct dovecot_auth *d, struct place *place, struct place **out)
{
    places_leave(d->places, place);
    place->next = *out;
    *out = place;
}

static void all_later(struct place *out)
{
    for (struct place *next; out; out = next) {
        next = out->next;
        answer_later(waiting_of(out));
    }
}

/* Ends the connection, if there is one, and with it all requests. */
static void hang_up(struct dovecot_auth *d)
{
    struct place *lost = NULL, *place;

    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    d->greeted = false;
    d->line_ms = d->unread_ms = 0;
    d->junk = 0;
    d->owed = 0;
    d->due_ms = UINT64_MAX;
    dovecot_lines_clear(&d->lines);
    explicit_bzero(d->out, d->out_len);
    d->out_len = 0;
    while ((place = places_first(d->places)))
        take_out(d, place, &lost);
    all_later(lost);
}

void dovecot_auth_close(struct dovecot_auth *d)
{
    if (!d)
        return;
    d->rest_ms = UINT64_MAX;
    hang_up(d);
    places_close(d->places);
    free(d);
}

static void tell(struct dovecot_auth *d, int error, uint64_t now)
{
    if (error != d->told)
        d->told_ms = 0;
    d->told = error;
    if (log_is_due(&d->told_ms, DOVECOT_TELL_MS, now))
        log_warn("auth dovecot: %s: %s", d->config->path, strerrordesc_np(-error));
}

/* Ends the connection because of what Dovecot does, or does not do. */
static void give_up(struct dovecot_auth *d, int error, uint64_t now)
{
    tell(d, error, now);
    d->rest_ms = now + REST_MS;
    hang_up(d);
}

/* ---- sending ---- */

/* Sends what Dovecot takes now. */
static void flush(struct dovecot_auth *d, uint64_t now)
{
    if (d->fd < 0 || !d->greeted || d->out_len == 0)
        return;
    ssize_t n = send(d->fd, d->out, d->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(d);
        return;
    }
    if (n <= 0) {
        d->unread_ms = d->unread_ms ? d->unread_ms : now;
        return;
    }
    d->out_len -= (size_t)n;
    memmove(d->out, d->out + n, d->out_len);
    explicit_bzero(d->out + d->out_len, (size_t)n);
    d->unread_ms = d->out_len ? now : 0;
}

/* False: Dovecot has not read so much already that there is no room. */
static bool put(struct dovecot_auth *d, struct span text)
{
    if (text.len > sizeof d->out - d->out_len)
        return false;
    memcpy(d->out + d->out_len, text.at, text.len);
    d->out_len += text.len;
    return true;
}

/* Tells Dovecot that nobody waits for a request any more. */
static void cancel(struct dovecot_auth *d, uint32_t id)
{
    char line[CANCEL_MAX];
    int len = snprintf(line, sizeof line, "CANCEL\t%u\n", id);

    (void)put(d, (struct span){line, (size_t)len});
}

/* ---- connecting ---- */

/* Whether Dovecot has closed the connection; it may have restarted with another configuration. */
static bool has_ended(const struct dovecot_auth *d)
{
    char c;

    return d->fd >= 0 && recv(d->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* 0 if there is a connection, or one that begins; or -errno. */
static int connected(struct dovecot_auth *d, uint64_t now)
{
    char hello[64];

    if (has_ended(d))
        hang_up(d);
    if (d->fd >= 0)
        return 0;
    if (now < d->rest_ms)
        return -ETIMEDOUT;
    d->fd = dial_at_once(d->config->path);
    if (d->fd < 0) {
        int error = d->fd;
        d->fd = -1;
        return error;
    }
    d->connection++;
    d->begun_ms = now;
    d->coming_offers = 0;
    int len = snprintf(hello, sizeof hello, "VERSION\t1\t1\nCPID\t%ld\n", (long)getpid());
    if (send(d->fd, hello, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) != len) {
        hang_up(d);
        return -ECONNRESET;
    }
    return 0;
}

/* A line of the greeting; the major version must be ours. For LOGIN we collect name and password
 * ourselves, and send them as PLAIN. */
static void greeting_line(struct dovecot_auth *d, const char *line, uint64_t now)
{
    if (dovecot_line_is(line, "DONE")) {
        uint32_t offers = d->coming_offers;
        d->offers = offers & SMTP_AUTH_PLAIN ? offers : offers & ~(uint32_t)SMTP_AUTH_LOGIN;
        d->greeted = true;
        d->junk = 0;
        flush(d, now);
    } else if (dovecot_line_is(line, "VERSION") && strncmp(line, "VERSION\t1\t", 10) != 0) {
        give_up(d, -EPROTONOSUPPORT, now);
    } else {
        d->coming_offers |= dovecot_line_mechanism(line);
    }
}

/* ---- answers ---- */

/* Whether the message of an answer is one that the client may get. */
static bool is_for_client(const struct waiting *w, enum answer_result result, struct span text)
{
    if (w->kind == SCRAM_FIRST)
        return result == ANSWER_MORE && scram_is_challenge(text, buf_span(&w->nonce));
    return result == ANSWER_YES && (w->kind == PASSWORD || scram_is_signature(text));
}

/* Whether a line is the answer to a request, which gets it if it still waits. Dovecot says "OK" to a
 * first message, and "CONT" to anything else, only by mistake: nobody has proven anything. */
static bool is_expected(struct dovecot_auth *d, const char *line, uint64_t now)
{
    enum answer_result result;
    struct buf text = {0};
    uint32_t number;
    struct waiting *w;

    if (!dovecot_line_answer(line, &number, &result))
        return false;
    w = waiting_of(places_find(d->places, number));
    if (!w)
        return d->owed && d->owed--;
    places_leave(d->places, &w->place);
    d->junk = 0;
    if (result == ANSWER_YES || result == ANSWER_MORE) {
        int error = dovecot_line_data(line, result == ANSWER_MORE, &text);
        if (error || !is_for_client(w, result, buf_span(&text))) {
            tell(d, -EBADMSG, now);
            if (result == ANSWER_MORE)
                cancel(d, number);
            result = ANSWER_LATER;
        }
    }
    if (result == ANSWER_YES)
        result = dovecot_ok_result(&d->ok, d->config->path, line, now);
    if (w->kind == PASSWORD || result == ANSWER_LATER || result == ANSWER_NO)
        buf_free(&text);
    answer(w, result, buf_span(&text), dovecot_line_name(line));
    buf_free(&text);
    return true;
}

static void take_line(struct dovecot_auth *d, const char *line, size_t len, uint64_t now)
{
    bool answers = d->greeted && is_expected(d, line, now);

    if (answers || d->fd < 0)
        return;
    d->junk += len + 1;
    if (d->junk > JUNK_MAX)
        give_up(d, -EBADMSG, now);
    else if (!d->greeted)
        greeting_line(d, line, now);
}

int dovecot_auth_fd(const struct dovecot_auth *d)
{
    return d->fd;
}

uint32_t dovecot_auth_events(const struct dovecot_auth *d)
{
    return EPOLLIN | (d->greeted && d->out_len ? EPOLLOUT : 0);
}

void dovecot_auth_read(struct dovecot_auth *d, uint64_t now)
{
    char line[DOVECOT_LINE_MAX];
    size_t room, len;

    flush(d, now);
    if (d->fd < 0)
        return;
    char *to = dovecot_lines_room(&d->lines, &room);
    ssize_t n = recv(d->fd, to, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (!d->greeted)
            tell(d, n < 0 ? -errno : -ECONNRESET, now);
        hang_up(d);
        return;
    }
    dovecot_lines_add(&d->lines, (size_t)n);
    uint32_t connection = d->connection;
    bool whole = false;
    while (d->fd >= 0 && d->connection == connection && dovecot_lines_take(&d->lines, line, &len)) {
        whole = true;
        take_line(d, line, len, now);
    }
    if (d->fd < 0 || d->connection != connection)
        return;
    if (dovecot_lines_is_full(&d->lines))
        give_up(d, -EBADMSG, now);
    else if (dovecot_lines_is_empty(&d->lines))
        d->line_ms = 0;
    else if (whole || !d->line_ms)
        d->line_ms = now;
}

/* ---- time ---- */

/* Ends the requests whose time is over. */
static void end_late(struct dovecot_auth *d, uint64_t now)
{
    struct place *late = NULL, *place, *next;

    if (now < d->due_ms)
        return;
    d->due_ms = UINT64_MAX;
    for (place = places_first(d->places); place; place = next) {
        struct waiting *w = waiting_of(place);
        next = places_next(d->places, place);
        if (w->until_ms > now) {
            d->due_ms = w->until_ms < d->due_ms ? w->until_ms : d->due_ms;
            continue;
        }
        take_out(d, place, &late);
        cancel(d, place->number);
        d->owed++;
    }
    all_later(late);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the connection ends if nothing changes. */
static uint64_t patience_ends(const struct dovecot_auth *d)
{
    uint64_t end = UINT64_MAX;

    if (d->fd >= 0 && !d->greeted)
        end = d->begun_ms + GREETING_MS;
    if (d->line_ms)
        end = earlier(end, d->line_ms + STUCK_MS);
    if (d->unread_ms)
        end = earlier(end, d->unread_ms + STUCK_MS);
    return end;
}

uint32_t dovecot_auth_look(struct dovecot_auth *d, uint64_t now)
{
    end_late(d, now);
    if (now >= patience_ends(d))
        give_up(d, -ETIMEDOUT, now);
    if (d->fd < 0 && now >= d->look_ms && now >= d->rest_ms) {
        d->look_ms = now + LOOK_MS;
        int error = connected(d, now);
        if (error)
            tell(d, error, now);
    }
    flush(d, now);
    uint64_t next = earlier(earlier(d->due_ms, patience_ends(d)), now + LOOK_MS);
    return next > now ? (uint32_t)(next - now) : 0;
}

/* ---- requests ---- */

/* Lets a request wait. NULL: it has no place. */
static struct waiting *wait_for(struct dovecot_auth *d, uint32_t number,
                                const struct dovecot_request *r, uint64_t now)
{
    struct waiting *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->request = *r;
    w->until_ms = now + r->patience_ms;
    d->due_ms = earlier(d->due_ms, w->until_ms);
    struct waiting *lost = waiting_of(places_take(d->places, &w->place, r->slot, number));
    if (lost == w) {
        free(w);
        return NULL;
    }
    if (lost) {
        cancel(d, lost->place.number);
        d->owed++;
        answer_later(lost);
    }
    return w;
}

static uint32_t next_id(struct dovecot_auth *d)
{
    do
        d->id++;
    while (d->id == 0 || places_find(d->places, d->id));
    return d->id;
}

/* Sends the line of a request, and wipes it. NULL: the request is not taken. Then flush(), which may
 * answer it. */
static struct waiting *send_line(struct dovecot_auth *d, struct buf *line, uint32_t number,
                                 const struct dovecot_request *r, uint64_t now)
{
    bool fits = line->len && line->len + CANCEL_MAX <= sizeof d->out - d->out_len;
    struct waiting *w = fits ? wait_for(d, number, r, now) : NULL;

    if (w)
        (void)put(d, buf_span(line));
    if (line->at)
        explicit_bzero(line->at, line->len);
    buf_free(line);
    return w;
}

/* Sends a mechanism with the client's first response, as base64. */
static struct waiting *send_first(struct dovecot_auth *d, const struct dovecot_request *r,
                                  const char *mechanism, struct span response,
                                  const struct addr *client, uint64_t now)
{
    char ip[ADDR_TEXT];
    struct buf line = {0};
    int error = connected(d, now);

    if (error && now >= d->rest_ms)
        tell(d, error, now);
    if (error)
        return NULL;
    uint32_t id = next_id(d);
    addr_format(client, ip);
    if (!buf_room(&line, response.len + 256) ||
        buf_addf(&line, "AUTH\t%u\t%s\tservice=smtp\trip=%s\tsecured\tno-penalty\tresp=%.*s\n", id,
                 mechanism, ip, (int)response.len, response.at) < 0)
        line.len = 0;
    return send_line(d, &line, id, r, now);
}

bool dovecot_auth_ask(struct dovecot_auth *d, const struct dovecot_request *r, struct span user,
                      struct span password, const struct addr *client, uint64_t now)
{
    char *response = auth_plain_response(user, password);

    if (!response)
        return false;
    bool taken = send_first(d, r, "PLAIN", span_of(response), client, now);
    explicit_bzero(response, strlen(response));
    free(response);
    flush(d, now);
    return taken;
}

bool dovecot_scram_begin(struct dovecot_auth *d, const struct dovecot_request *r,
                         struct span message, const struct addr *client,
                         struct dovecot_login *login, uint64_t now)
{
    struct buf response = {0}, nonce = {0};
    struct scram_first first;
    char *room = buf_room(&response, BASE64_LEN(message.len));
    struct waiting *w = NULL;

    if (room && scram_read_first(message, &first) && buf_add_span(&nonce, first.nonce) == 0) {
        response.len = (uint32_t)base64_encode(message, room);
        w = send_first(d, r, "SCRAM-SHA-256\tfinal-resp-ok", buf_span(&response), client, now);
    }
    buf_free(&response);
    if (!w) {
        buf_free(&nonce);
        return false;
    }
    w->kind = SCRAM_FIRST;
    w->nonce = nonce;
    *login = (struct dovecot_login){d->connection, w->place.number};
    flush(d, now);
    return true;
}

bool dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_request *r,
                       const struct dovecot_login *login, struct span message, uint64_t now)
{
    struct buf line = {0};

    if (d->fd < 0 || login->connection != d->connection || places_find(d->places, login->id))
        return false;
    char *room = buf_addf(&line, "CONT\t%u\t", login->id) < 0
                     ? NULL
                     : buf_room(&line, BASE64_LEN(message.len) + 1);
    if (room) {
        size_t len = base64_encode(message, room);
        room[len] = '\n';
        line.len += (uint32_t)len + 1;
    } else {
        line.len = 0;
    }
    struct waiting *w = send_line(d, &line, login->id, r, now);
    if (w)
        w->kind = SCRAM_SECOND;
    flush(d, now);
    return w;
}

void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_login *login)
{
    if (d->fd >= 0 && login->connection == d->connection)
        cancel(d, login->id);
}

/* ---- mechanisms ---- */

uint32_t dovecot_auth_offers(const struct dovecot_auth *d)
{
    return d->offers;
}

bool dovecot_auth_is_connecting(const struct dovecot_auth *d)
{
    return d->fd >= 0 && !d->greeted;
}
