/* The `file` verifier: "name:hash" a line, hashes as crypt(3) makes them (doveadm pw's {SCHEME} in
 * front is taken where it says no more than the hash itself). Reread when it changes. */
#ifndef MIRED_AUTH_FILE_H
#define MIRED_AUTH_FILE_H

#include "base/bytes.h"
#include "clerk/ask.h"

struct file_auth;

struct file_auth *file_auth_open(const char *path);
void file_auth_close(struct file_auth *f);

/* Computes one hash whatever the name, so that an unknown one takes as long as a wrong password.
 * now_ms is monotonic. LATER: the file could never be read. */
enum answer_result file_auth_check(struct file_auth *f, struct span user, struct span password,
                                   uint64_t now_ms);

#endif
