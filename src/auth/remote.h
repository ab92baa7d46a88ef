/* Verifiers behind a connection. Each serves one clerk, and answers YES, NO or LATER; Dovecot may
 * block for a few seconds where it is not the last verifier. Passwords are wiped from what they send. */
#ifndef MIRED_AUTH_REMOTE_H
#define MIRED_AUTH_REMOTE_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "query/query.h"

struct config;
struct config_auth;
struct dovecot_auth;
struct backend_auth;
struct addresses;

/* The receiver of an answer, and the callback. `text` is for the client, if not empty; `name` is
 * the verifier's name for the account, if it says it. */
struct auth_asker {
    uint64_t id;
    uint16_t slot;
};
typedef void auth_answered(void *arg, const struct auth_asker *asker, enum answer_result result,
                           struct span text, struct span name);

/* Dovecot's auth-client protocol, version 1.1, mechanisms PLAIN and SCRAM-SHA-256. */
struct dovecot_auth *dovecot_auth_open(const struct config_auth *config);
void dovecot_auth_close(struct dovecot_auth *d);
/* Checks a password and waits. *name becomes Dovecot's own name for the account (user=), which may
 * have many spellings; it does not change if Dovecot names none. */
enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client,
                                      struct buf *name);

/* The same without waiting, because Dovecot delays each "no" by half a second, and the next query
 * must not wait for that. `answered` is called once for each query for which dovecot_auth_ask()
 * returned true, from dovecot_auth_read() or from any other call here. */
void dovecot_auth_tell(struct dovecot_auth *d, auth_answered *answered, void *arg);
bool dovecot_auth_ask(struct dovecot_auth *d, struct span user, struct span password,
                      const struct addr *client, const struct auth_asker *asker);

/* The descriptor to poll() for answers (-1: none), and reading those that are there. */
int dovecot_auth_fd(const struct dovecot_auth *d);
void dovecot_auth_read(struct dovecot_auth *d);

/* The mechanisms (enum smtp_auth) that Dovecot announced last; PLAIN and LOGIN until it has.
 * Connects from time to time if there is no connection. */
uint32_t dovecot_auth_offers(struct dovecot_auth *d, uint64_t now_ms);

/* A login that Dovecot handles; it ends with the connection on which it began. */
struct dovecot_login {
    uint32_t connection, id;
};

/* Passes on the client's first SCRAM message. MORE: the message for the client is appended to
 * *answer, and *pending identifies the login. NO or LATER otherwise; Dovecot says NO to unknown
 * names. */
enum answer_result dovecot_scram_begin(struct dovecot_auth *d, struct span message,
                                       const struct addr *client, struct dovecot_login *pending,
                                       struct buf *answer);
/* Passes on the second message, without waiting, like dovecot_auth_ask(): the answer is YES (with a
 * message for the client), NO or LATER. */
bool dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_login *pending,
                       struct span message, const struct auth_asker *asker);
/* Cancels a login that the client has abandoned. */
void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_login *pending);

/* A password that is checked; user and password are borrowed. `at` and `so_far` belong to the
 * caller: the verifier that is asked, and the result of those before it. */
struct auth_query {
    struct auth_asker asker;
    struct addr client;
    struct span user, password;
    size_t at;
    enum answer_result so_far;
};

/* AUTH PLAIN to the first of the account's backends that can be asked (RFC 4954, 4616), in threads:
 * a backend that is slow, or hangs, delays no other query of the clerk. `slots` of workers share the
 * threads. `answered` is called from backend_auth_read(), once for each query that
 * backend_auth_ask() has taken. */
typedef void backend_answered(void *arg, struct auth_query *q, enum answer_result result);
struct backend_auth *backend_auth_open(const struct config *config,
                                       const struct addresses *addresses, uint32_t slots,
                                       backend_answered *answered, void *arg);
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
