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

/* Dovecot's auth-client protocol, version 1.1, mechanism PLAIN. */
struct dovecot_auth *dovecot_auth_open(const struct config_auth *config);
void dovecot_auth_close(struct dovecot_auth *d);
enum answer_result dovecot_auth_check(struct dovecot_auth *d, struct span user,
                                      struct span password, const struct addr *client);

/* AUTH PLAIN to the first backend that can be asked (RFC 4954, 4616). */
struct backend_auth *backend_auth_open(const struct config *config);
void backend_auth_close(struct backend_auth *b);
enum answer_result backend_auth_check(struct backend_auth *b, struct span user,
                                      struct span password);

/* "\0user\0password" as base64 (RFC 4616), a string of the caller's, who wipes and frees it; NULL
 * without memory. */
char *auth_plain_response(struct span user, struct span password);

#endif
