/* Who checks a password. Blocking; used by clerks only, which wipe it afterwards. */
#ifndef MIRED_AUTH_AUTH_H
#define MIRED_AUTH_AUTH_H

#include "base/addr.h"
#include "base/bytes.h"
#include "clerk/ask.h"

struct config;
struct auth;

struct auth *auth_open(const struct config *config);
void auth_close(struct auth *a);

/* YES, NO or LATER (no verifier could tell). Takes the same time for an unknown user as for a wrong
 * password: a hash is computed either way. */
enum answer_result auth_check(struct auth *a, struct span user, struct span password,
                              const struct addr *client);

#endif
