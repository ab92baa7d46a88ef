/* The `file` verifier: "name:hash" a line, reread when it changes. A hash is as crypt(3) makes it
 * (doveadm pw's {SCHEME} in front is taken where it says no more than the hash itself), or
 * {SCRAM-SHA-256} as doveadm pw makes it. */
#ifndef MIRED_AUTH_FILE_H
#define MIRED_AUTH_FILE_H

#include "auth/scram.h"
#include "base/bytes.h"
#include "base/siphash.h"
#include "query/query.h"

struct file_auth;

/* Of these only what makes a clerk refuse the file as a whole: a line that is no name:hash. */
unsigned file_auth_check_form(struct span text, const char *path, struct buf *said);

/* `decoys`: names that the file does not have are treated like lines of it that this key chooses.
 */
struct file_auth *file_auth_open(const char *path, const struct sipkey *decoys);
void file_auth_close(struct file_auth *f);

/* Adds a message to *said for each invalid line of a password file's text, up to a few, with
 * `path`, the line's number and the name, never the hash. Returns the number of invalid lines. */
unsigned file_auth_check_lines(struct span text, const char *path, struct buf *said);

/* Computes one hash whatever the name. For an unknown one it is of a line's kind and cost, always
 * the same for that name; of many unknown names as many get each kind as the file has lines of it.
 * So neither one duration nor many reveal which names are in the file. now_ms is monotonic. LATER:
 * the file could never be read. *name (NULL: not wanted) is the name as the file has it, valid
 * until the next call; it stays as it was when the file has no such line. Case does not matter in
 * names, but a line with the exact letters is preferred. */
enum answer_result file_auth_check(struct file_auth *f, struct span user, struct span password,
                                   uint64_t now_ms, struct span *name);

/* Whether SCRAM can be offered: every line has a {SCRAM-SHA-256} hash. (Clients choose the
 * strongest mechanism on offer, and a user whose line has another hash would be told that the
 * password is wrong.) */
bool file_auth_has_scram(struct file_auth *f, uint64_t now_ms);

/* How many lines the file has. */
size_t file_auth_lines(const struct file_auth *f);
size_t file_auth_kinds(const struct file_auth *f); /* of methods and costs */

/* The SCRAM secret of a user. YES: it is in *out; NO: there is none, and *out is the form of a
 * decoy for that name; LATER as above. */
enum answer_result file_auth_secret(struct file_auth *f, struct span user, uint64_t now_ms,
                                    struct scram_secret *out, struct span *name);

#endif
