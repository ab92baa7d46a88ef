/* The verifiers in order: the first that knows the password right wins; one that cannot tell makes
 * it "later". */
#include "auth/auth.h"

#include <stdlib.h>

#include "auth/file.h"
#include "base/clock.h"
#include "config/config.h"

struct auth {
    struct file_auth **file;
    size_t count;
};

struct auth *auth_open(const struct config *config)
{
    struct auth *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->file = calloc(config->auth_count + 1, sizeof *a->file);
    if (!a->file) {
        free(a);
        return NULL;
    }
    for (size_t i = 0; i < config->auth_count; i++) {
        a->file[i] = file_auth_open(config->auth[i].path);
        if (!a->file[i]) {
            auth_close(a);
            return NULL;
        }
        a->count++;
    }
    return a;
}

void auth_close(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++)
        file_auth_close(a->file[i]);
    free(a->file);
    free(a);
}

enum answer_result auth_check(struct auth *a, struct span user, struct span password,
                              const struct addr *client)
{
    enum answer_result result = ANSWER_NO;

    for (size_t i = 0; i < a->count && result != ANSWER_YES; i++) {
        enum answer_result r = file_auth_check(a->file[i], user, password, clock_mono_ms());
        if (r != ANSWER_NO)
            result = r;
    }
    return result;
}
