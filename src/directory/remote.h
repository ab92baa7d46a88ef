/* Directories that are queried over a connection: their functions for directory.c.
 *
 * All of them block, for a few seconds at most. Each object is used by one thread of a clerk, and
 * shares only the log with others. ..._rest() closes connections until they are needed again,
 * ..._is_open() tells whether there is one. They return YES, NO, LATER (the directory says that it
 * cannot answer now), SILENCE (the directory cannot be reached), or OTHER with the reply in *out.
 * Caching, and pauses after a failure, are in directory.c. */
#ifndef MIRED_DIRECTORY_REMOTE_H
#define MIRED_DIRECTORY_REMOTE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "query/query.h"

#define ANSWER_SILENCE ((enum answer_result)0) /* never sent to a worker */

struct config;
struct config_recipients;
struct route;
struct backend_directory;
struct socketmap_directory;
struct ldap_directory;
struct addresses;

/* Backends: MAIL FROM:<>, RCPT TO, RSET (RFC 5321). `patience` has a place for each backend, shared by
 * all connections and 0 at first: how many refusals in one session the backend tolerates. */
struct backend_directory *backend_directory_open(const struct config *config,
                                                 const struct route *backends,
                                                 const struct addresses *addresses,
                                                 _Atomic int *patience);
void backend_directory_close(struct backend_directory *b);
void backend_directory_rest(struct backend_directory *b);
bool backend_directory_is_open(const struct backend_directory *b);
enum answer_result backend_directory_ask(struct backend_directory *b, struct span address,
                                         struct answer *out);

/* Postfix's socketmap: netstrings, "MAP KEY" to "OK ...", "NOTFOUND ", "TEMP ...", "TIMEOUT ...",
 * "PERM ..." (socketmap_table(5)). */
struct socketmap_directory *socketmap_directory_open(const struct config_recipients *config);
void socketmap_directory_close(struct socketmap_directory *s);
void socketmap_directory_rest(struct socketmap_directory *s);
bool socketmap_directory_is_open(const struct socketmap_directory *s);
enum answer_result socketmap_directory_ask(struct socketmap_directory *s, struct span key);

/* Allows this process to read the authorities and certificates that libldap is set to use, by
 * ldap.conf or the environment. */
struct sandbox;
void ldap_directory_allow(struct sandbox *s);

/* LDAP v3: YES when the filter, with %s replaced by the address, finds an entry (RFC 4515 escapes).
 * `told` has a place for each server, shared by all connections: the last error that was logged. */
struct ldap_directory *ldap_directory_open(const struct config_recipients *config,
                                           _Atomic int *told);
void ldap_directory_close(struct ldap_directory *l);
void ldap_directory_rest(struct ldap_directory *l);
bool ldap_directory_is_open(const struct ldap_directory *l);
enum answer_result ldap_directory_ask(struct ldap_directory *l, struct span address);

#endif
