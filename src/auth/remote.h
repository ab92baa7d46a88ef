/* Verifiers behind a connection. Each serves one clerk, answers YES, NO or LATER, and never makes the
 * clerk wait: the answer comes later. Passwords are wiped from what they send. */
#ifndef MIRED_AUTH_REMOTE_H
#define MIRED_AUTH_REMOTE_H

#include <stdbool.h>
#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "query/query.h"

struct config;
struct config_auth;
struct dovecot_auth;
struct backend_auth;
struct addresses;
struct sharing;

/* The receiver of an answer: a worker's query. */
struct auth_asker {
    uint64_t id;
    uint16_t slot;
};

/* Dovecot's auth-client protocol, version 1.1, mechanisms PLAIN and SCRAM-SHA-256. `slots`: of
 * workers, which share the places of requests that wait (places.h). All times are monotonic ms. */
struct dovecot_auth *dovecot_auth_open(const struct config_auth *config, uint32_t slots);
void dovecot_auth_close(struct dovecot_auth *d);

/* A request. `answered` is called once if the request was taken: from dovecot_auth_read(), from
 * dovecot_auth_look() or from any other call here, also before the call that takes the request
 * returns. `text` is for the client, if not empty. `name` is Dovecot's own name for the account
 * (user=), which may have many spellings, or empty. */
struct dovecot_request {
    void (*answered)(void *arg, enum answer_result result, struct span text, struct span name);
    void *arg;
    uint32_t slot;
    uint32_t patience_ms; /* after that the answer is LATER */
};

/* Asks for a password: YES, NO or LATER. False: Dovecot cannot be asked now. */
bool dovecot_auth_ask(struct dovecot_auth *d, const struct dovecot_request *r, struct span user,
                      struct span password, const struct addr *client, uint64_t now);

/* The descriptor to poll for answers (-1: none), and for which events. */
int dovecot_auth_fd(const struct dovecot_auth *d);
uint32_t dovecot_auth_events(const struct dovecot_auth *d);
/* Sends and reads what can be sent and read now, one buffer at most. */
void dovecot_auth_read(struct dovecot_auth *d, uint64_t now);
/* Ends what has waited too long, and connects from time to time if there is no connection. Returns
 * in how many ms to call it again. */
uint32_t dovecot_auth_look(struct dovecot_auth *d, uint64_t now);

/* The mechanisms (enum smtp_auth) that Dovecot announced last; PLAIN and LOGIN until it has. */
uint32_t dovecot_auth_offers(const struct dovecot_auth *d);
/* Whether it is connecting, and its greeting may still come. */
bool dovecot_auth_is_connecting(const struct dovecot_auth *d);

/* A login that Dovecot handles; it ends with the connection on which it began. */
struct dovecot_login {
    uint32_t connection, id;
};

/* Passes on the client's first SCRAM message. MORE: `text` is the message for the client, and *login
 * identifies the login. NO or LATER otherwise; Dovecot says NO to unknown names. */
bool dovecot_scram_begin(struct dovecot_auth *d, const struct dovecot_request *r,
                         struct span message, const struct addr *client,
                         struct dovecot_login *login, uint64_t now);
/* Passes on the second message: YES (with a message for the client), NO or LATER. */
bool dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_request *r,
                       const struct dovecot_login *login, struct span message, uint64_t now);
/* Cancels a login that the client has abandoned. */
void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_login *login);

/* A password that is checked; user and password are borrowed. `at` and `so_far` belong to the
 * caller: the verifier that is asked, and the result of those before it. */
struct auth_query {
    struct auth_asker asker;
    struct addr client;
    struct span user, password;
    uint64_t until_ms; /* monotonic: the worker waits until then */
    size_t at;
    enum answer_result so_far;
};

/* A copy of a query has its texts behind it: so many octets of room. */
static inline size_t auth_query_octets(const struct auth_query *q)
{
    return q->user.len + q->password.len;
}

static inline struct auth_query auth_query_copy(const struct auth_query *q, char *room)
{
    struct auth_query copy = *q;

    memcpy(room, q->user.at, q->user.len);
    memcpy(room + q->user.len, q->password.at, q->password.len);
    copy.user.at = room;
    copy.password.at = room + q->user.len;
    return copy;
}

/* AUTH PLAIN to the first of the account's backends that can be asked (RFC 4954, 4616), in threads:
 * a backend that is slow, or hangs, delays no other query of the clerk. `slots` of workers share the
 * threads. `sharing` (or NULL) knows when backends answered any clerk. `answered` is called from
 * backend_auth_read(), once for each query that backend_auth_ask() has taken. */
typedef void backend_answered(void *arg, struct auth_query *q, enum answer_result result);
struct backend_auth *backend_auth_open(const struct config *config,
                                       const struct addresses *addresses, uint32_t slots,
                                       struct sharing *sharing, backend_answered *answered,
                                       void *arg);
void backend_auth_close(struct backend_auth *b);
/* False: too many wait already, or no memory. Copies the query. */
bool backend_auth_ask(struct backend_auth *b, const struct auth_query *q);
/* The descriptor to poll() for answers, and reading those that are there. */
int backend_auth_fd(const struct backend_auth *b);
void backend_auth_read(struct backend_auth *b);

/* "\0user\0password" as base64 (RFC 4616), a string that the caller wipes and frees; NULL without
 * memory. */
char *auth_plain_response(struct span user, struct span password);

#endif
