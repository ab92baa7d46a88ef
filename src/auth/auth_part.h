/* Inside auth: the verifiers. Private to src/auth.
 *
 * auth.c          the verifiers of a login name in order, and passwords
 *   auth_scram.c  the two messages of SCRAM        scram_logins.c  the logins between them
 *   file.c        a file of hashes                 backend.c       the backend, in threads
 *   dovecot.c     Dovecot's connection             dovecot_lines.c what it sends
 *   dovecot_ok.c  what its "OK" allows
 *   places.c      places that worker slots share */
#ifndef MIRED_AUTH_AUTH_PART_H
#define MIRED_AUTH_AUTH_PART_H

#include "auth/auth.h"
#include "auth/remote.h"
#include "auth/scram_logins.h"
#include "config/config.h"

struct verifier {
    enum auth_kind kind;
    union { /* by kind */
        struct file_auth *file;
        struct dovecot_auth *dovecot;
        struct backend_auth *backend;
        void *any;
    } at;
};

struct auth {
    struct auth_params params;
    auth_answered *answered; /* see auth_tell() */
    void *arg;
    int answers;  /* epoll: the verifiers that answer later; -1: there are none */
    bool closing; /* no verifier may be asked any more */
    struct scram_logins logins;
    struct due *due, **due_end; /* passwords that a file checks next, oldest first */
    size_t count;
    struct verifier verifier[];
};

/* Gives an answer that comes later. */
void auth_answer(struct auth *a, const struct auth_asker *asker, const struct answer *answer);

/* Whether the route has a verifier whose kind is in `kinds`: 1 << AUTH_FILE and so on. */
bool auth_route_has(const struct auth *a, const struct route *route, unsigned kinds);

/* What a file's result counts for in its route. If the file has never had a login, the others decide:
 * LATER is no reason not to say what Dovecot or a backend knows. */
enum answer_result auth_of_file(const struct auth *a, const struct route *route,
                                const struct file_auth *f, enum answer_result r);

#endif
