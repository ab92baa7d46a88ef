/* Whatever a backend says to AUTH: a password is right only after a line "235", and wrong only after
 * a line "535" or "525"; each query gets one answer. The first octet picks how many queries there
 * are, and whether the backend says everything at once. One thread asks while this one waits. */
#include <poll.h>

#include "auth/remote.h"

#include "../hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WAIT_MS = 60000 };

static struct span said_in;
static int answers;

/* Whether a line begins with this code. */
static bool said(const char *code)
{
    for (size_t i = 0; i + 3 <= said_in.len; i++)
        if ((i == 0 || said_in.at[i - 1] == '\n' ||
             (i >= 4 && !memcmp(said_in.at + i - 4, "CUT!", 4))) &&
            !memcmp(said_in.at + i, code, 3))
            return true;
    return false;
}

static void answered(void *arg, struct auth_query *q, enum answer_result result)
{
    answers++;
    assert(span_equal(q->user, SPAN("alice")));
    assert(result == ANSWER_YES || result == ANSWER_NO || result == ANSWER_LATER);
    assert(result != ANSWER_YES || said("235"));
    assert(result != ANSWER_NO || said("535") || said("525"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    static struct backend_auth *b;
    struct auth_query q = {.client = {.family = ADDR_IP4},
                           .user = SPAN("alice"),
                           .password = SPAN("secret"),
                           .until_ms = UINT64_MAX};

    if (size < 1 || size > HOSTILE_MAX)
        return 0;
    if (!config)
        config = hostile_config("backend \"smtp://127.0.0.1:2526\" { tls = \"off\" }\n"
                                "auth \"backend\" { }\n");
    if (!b)
        b = backend_auth_open(config, NULL, 1, NULL, answered, NULL);
    assert(b);
    hostile_begin(data + 1, size - 1);
    hostile_by_lines = !(data[0] & 4);
    said_in = (struct span){(const char *)data + 1, size - 1};
    for (int i = 0; i <= (data[0] & 3); i++) {
        answers = 0;
        assert(backend_auth_ask(b, &q));
        while (!answers) {
            struct pollfd ready = {.fd = backend_auth_fd(b), .events = POLLIN};
            int n = poll(&ready, 1, WAIT_MS);
            assert(n == 1 || (n < 0 && errno == EINTR)); /* libFuzzer's own timer */
            if (n < 0)
                continue;
            backend_auth_read(b);
        }
        assert(answers == 1);
    }
    hostile_close();
    return 0;
}
