/* Verifiers behind a connection. Each blocks for a few seconds at most, serves one clerk, and
 * answers YES, NO or LATER. Passwords are wiped from what they send. */
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
/* *name gets Dovecot's own name for the account (user=), which many spellings may have; what it was
 * stays when Dovecot does not say. */
enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client,
                                      struct buf *name);

/* Without waiting: Dovecot always delays a "no" by half a second, and the next query must not wait
 * for that. `answered` is called once for each query that was accepted (true), from
 * dovecot_auth_read() or from any other call here. */
void dovecot_auth_tell(struct dovecot_auth *d, auth_answered *answered, void *arg);
bool dovecot_auth_ask(struct dovecot_auth *d, struct span user, struct span password,
                      const struct addr *client, const struct auth_asker *asker);

/* The descriptor to poll() for answers (-1: none), and reading those that are there. */
int dovecot_auth_fd(const struct dovecot_auth *d);
void dovecot_auth_read(struct dovecot_auth *d);

/* Of enum smtp_auth, what it said last that it can do; PLAIN and LOGIN as long as it has not said.
 * Connects when it is not connected, now and then. */
uint32_t dovecot_auth_offers(struct dovecot_auth *d, uint64_t now_ms);

/* A login that Dovecot handles; it ends with the connection on which it began. */
struct dovecot_login {
    uint32_t connection, id;
};

/* The client's first SCRAM message: MORE (what to tell it is appended to *answer, the login stands
 * in *pending), NO or LATER. Dovecot says NO to names that it does not know. */
enum answer_result dovecot_scram_begin(struct dovecot_auth *d, struct span message,
                                       const struct addr *client, struct dovecot_login *pending,
                                       struct buf *answer);
/* The second, without waiting, as dovecot_auth_ask(): YES (with what to tell the client), NO or
 * LATER. */
bool dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_login *pending,
                       struct span message, const struct auth_asker *asker);
/* Cancels a login that the client has abandoned. */
void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_login *pending);

/* AUTH PLAIN to the first backend that can be asked (RFC 4954, 4616). */
struct backend_auth *backend_auth_open(const struct config *config,
                                       const struct addresses *addresses);
void backend_auth_close(struct backend_auth *b);
enum answer_result backend_auth_check(struct backend_auth *b, struct span user,
                                      struct span password);

/* "\0user\0password" as base64 (RFC 4616), a string that the caller wipes and frees; NULL without
 * memory. */
char *auth_plain_response(struct span user, struct span password);

#endif
