/* The `file` verifier: "name:hash" a line, reread when it changes. A hash is one of crypt(3) (with
 * doveadm pw's {SCHEME} before it, if that only names the hash's own method), or {SCRAM-SHA-256} as
 * doveadm pw writes it. Used by one clerk each; not thread-safe. */
#ifndef MIRED_AUTH_FILE_H
#define MIRED_AUTH_FILE_H

#include <stdatomic.h>
#include <stdint.h>

#include "auth/scram.h"
#include "base/bytes.h"
#include "base/siphash.h"
#include "query/query.h"

struct file_auth;

/* Like file_auth_check_lines(), but reports only lines that are not name:hash, because of which a
 * clerk rejects the whole file. */
unsigned file_auth_check_form(struct span text, const char *path, struct buf *said);

/* Likewise, whether the file has lost so many of the `before` logins that clerks took last (0: none)
 * that they do not take it. */
unsigned file_auth_check_loss(struct span text, const char *path, uint32_t before,
                              struct buf *said);

/* `decoys`: for a name that the file does not have, this key chooses a line of the file, and the
 * name is treated like that line. `accepted`: how many logins the version had that was taken last, by
 * this process or one before it, so that the next one does not take what this one rejects; 0: none
 * yet. NULL: not shared. NULL without memory. */
struct file_auth *file_auth_open(const char *path, const struct sipkey *decoys,
                                 _Atomic uint32_t *accepted);
void file_auth_close(struct file_auth *f);

/* Adds a message to *said for each invalid line of a password file's text, up to a few, with
 * `path`, the line's number and the name, never the hash. Returns the number of invalid lines. */
unsigned file_auth_check_lines(struct span text, const char *path, struct buf *said);

/* Checks a password. It always computes one hash. For an unknown name the hash has the method and
 * cost of a line, always the same line for that name; over many unknown names the methods are as
 * frequent as in the file. So neither one duration nor many reveal which names are in the file.
 * now_ms is monotonic. LATER: the file could never be read, or has never had a login. *name (NULL:
 * not wanted) becomes the name as the file has it, valid until the next call; it does not change if
 * the file has no such line. The case of names does not matter, but a line with the same case is
 * preferred. */
enum answer_result file_auth_check(struct file_auth *f, struct span user, struct span password,
                                   uint64_t now_ms, struct span *name);

/* Whether the file, at the last of the other calls here, could be read and has never had a login. */
bool file_auth_is_empty(const struct file_auth *f);

/* Whether SCRAM can be offered: every line has a {SCRAM-SHA-256} hash. (Clients choose the
 * strongest mechanism on offer, and a user with another hash would hear that the password is
 * wrong.) */
bool file_auth_has_scram(struct file_auth *f, uint64_t now_ms);

/* Whether the file, at the last of the calls here, was being rewritten: the new version may have what
 * this one refuses. */
bool file_auth_is_settling(const struct file_auth *f);

/* How many lines with a password the file has; locked accounts have none. */
size_t file_auth_lines(const struct file_auth *f);
size_t file_auth_kinds(const struct file_auth *f); /* of methods and costs */

/* Looks up the SCRAM secret of a user. YES: it is in *out; NO: there is none, and *out has the form
 * of a decoy for that name; LATER as above. */
enum answer_result file_auth_secret(struct file_auth *f, struct span user, uint64_t now_ms,
                                    struct scram_secret *out, struct span *name);

#endif
