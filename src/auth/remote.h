/* Verifiers that are asked over a connection. Each blocks for a few seconds at most, serves one
 * clerk, and answers YES, NO or LATER. Passwords are wiped from what they send. */
#ifndef MIRED_AUTH_REMOTE_H
#define MIRED_AUTH_REMOTE_H

#include "base/addr.h"
#include "base/bytes.h"
#include "clerk/ask.h"

struct config;
struct config_auth;
struct dovecot_auth;
struct backend_auth;
struct places;

/* Dovecot's auth-client protocol, version 1.1, mechanisms PLAIN and SCRAM-SHA-256. */
struct dovecot_auth *dovecot_auth_open(const struct config_auth *config);
void dovecot_auth_close(struct dovecot_auth *d);
enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client);

/* Of enum smtp_auth, what it said last that it can do; PLAIN and LOGIN as long as it has not said.
 * Connects when it is not connected, now and then. */
uint32_t dovecot_auth_offers(struct dovecot_auth *d, uint64_t now_ms);

/* A login in Dovecot's hands, which ends with the connection that it was begun on. */
struct dovecot_talk {
    uint32_t connection, id;
};

/* The client's first SCRAM message: MORE (what to tell it is appended to *answer, the login stands
 * in *talk), NO or LATER. Dovecot says NO to names that it does not know. */
enum answer_result dovecot_scram_begin(struct dovecot_auth *d, struct span message,
                                       const struct addr *client, struct dovecot_talk *talk,
                                       struct buf *answer);
/* The second: YES (with what to tell the client), NO or LATER. */
enum answer_result dovecot_scram_end(struct dovecot_auth *d, const struct dovecot_talk *talk,
                                     struct span message, struct buf *answer);
/* The client will not come back to it. */
void dovecot_scram_cancel(struct dovecot_auth *d, const struct dovecot_talk *talk);

/* AUTH PLAIN to the first backend that can be asked (RFC 4954, 4616). */
struct backend_auth *backend_auth_open(const struct config *config, const struct places *places);
void backend_auth_close(struct backend_auth *b);
enum answer_result backend_auth_check(struct backend_auth *b, struct span user,
                                      struct span password);

/* "\0user\0password" as base64 (RFC 4616), a string of the caller's, who wipes and frees it; NULL
 * without memory. */
char *auth_plain_response(struct span user, struct span password);

#endif
