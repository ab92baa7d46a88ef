/* The verifiers in order: the first that knows the password right wins; one that cannot tell makes
 * it "later". */
#include "auth/auth.h"

#include <stdbool.h>
#include <stdlib.h>

#include "auth/file.h"
#include "auth/remote.h"
#include "base/clock.h"
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
    size_t count;
    struct verifier verifier[];
};

static bool verifier_open(struct verifier *v, const struct config *config,
                          const struct config_auth *c)
{
    v->kind = c->kind;
    switch (c->kind) {
    case AUTH_FILE: v->at.file = file_auth_open(c->path); break;
    case AUTH_DOVECOT: v->at.dovecot = dovecot_auth_open(c); break;
    case AUTH_BACKEND: v->at.backend = backend_auth_open(config); break;
    }
    return v->at.any;
}

static void verifier_close(struct verifier *v)
{
    switch (v->kind) {
    case AUTH_FILE: file_auth_close(v->at.file); break;
    case AUTH_DOVECOT: dovecot_auth_close(v->at.dovecot); break;
    case AUTH_BACKEND: backend_auth_close(v->at.backend); break;
    }
}

struct auth *auth_open(const struct config *config)
{
    struct auth *a = calloc(1, sizeof *a + config->auth_count * sizeof a->verifier[0]);

    for (size_t i = 0; a && i < config->auth_count; i++) {
        a->count++;
        if (!verifier_open(&a->verifier[i], config, &config->auth[i])) {
            auth_close(a);
            return NULL;
        }
    }
    return a;
}

void auth_close(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++)
        verifier_close(&a->verifier[i]);
    free(a);
}

static enum answer_result check(struct verifier *v, struct span user, struct span password,
                                const struct addr *client)
{
    switch (v->kind) {
    case AUTH_FILE: return file_auth_check(v->at.file, user, password, clock_mono_ms());
    case AUTH_DOVECOT: return dovecot_auth_check(v->at.dovecot, user, password, client);
    case AUTH_BACKEND: return backend_auth_check(v->at.backend, user, password);
    }
    return ANSWER_LATER;
}

enum answer_result auth_check(struct auth *a, struct span user, struct span password,
                              const struct addr *client)
{
    enum answer_result result = ANSWER_NO;

    for (size_t i = 0; i < a->count && result != ANSWER_YES; i++) {
        enum answer_result r = check(&a->verifier[i], user, password, client);
        if (r != ANSWER_NO)
            result = r;
    }
    return result;
}
