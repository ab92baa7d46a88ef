/* What Dovecot's salts look like (the body of state/decoys), of any content, and any first message
 * of Dovecot: a decoy's salt and iterations are such as an account can have, the same each time, and
 * the message that a client hears fits into an answer. The input is the body, and then the
 * message. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "auth/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITERATIONS_MAX = 10000000 };

static const struct sipkey key = {1, 2};

static void check_decoy(const struct scram_shapes *shapes, struct span user)
{
    struct scram_secret like, made, again;
    struct scram_login login = {.decoy = true};
    struct buf answer = {0};

    if (!scram_shapes_like(shapes, &key, user, &like))
        return;
    assert(like.salt_len <= SCRAM_SALT_MAX && like.iterations <= ITERATIONS_MAX);
    scram_secret_decoy(&key, user, &like, &made);
    scram_secret_decoy(&key, user, &like, &again);
    assert(made.salt_len == like.salt_len && made.iterations == like.iterations);
    assert(!memcmp(made.salt, again.salt, made.salt_len));
    login.secret = made;
    int error = scram_login_begin(&login, SPAN("n,,n=alice,r=abcdefgh"), (struct span){0},
                                  SPAN("ours"), &answer);
    assert(error == 0 && answer.len <= SCRAM_MESSAGE);
    assert(!scram_login_end(&login, SPAN("c=biws,r=abcdefghours,p=eA=="), &answer));
    buf_free(&answer);
    scram_login_wipe(&login);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scram_shapes shapes = {.of = {0}};
    size_t body = size < sizeof shapes ? size : sizeof shapes;

    memcpy(&shapes, data, body);
    check_decoy(&shapes, SPAN("alice"));
    scram_shapes_note(&shapes, &key, SPAN("bob"),
                      (struct span){(const char *)data + body, size - body});
    check_decoy(&shapes, SPAN("carol"));
    return 0;
}
