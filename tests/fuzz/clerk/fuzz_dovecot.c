/* Whatever Dovecot's auth socket says: a password is right only after a line "OK" with the number of
 * a request that mired has sent, wrong only after such a line "FAIL", and each request gets one
 * answer. */
#include "auth/remote.h"

#include "../hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS = 16 };

static struct span input;
static int answers;

/* Whether a line has this word and the number of a request. */
static bool said(const char *word)
{
    size_t n = strlen(word);

    for (struct span rest = input; rest.len;) {
        const char *cut = memmem(rest.at, rest.len, "CUT!", 4);
        size_t len = span_find(rest, '\n'), skip = len + 1;
        if (cut && (size_t)(cut - rest.at) < len) {
            len = (size_t)(cut - rest.at);
            skip = len + 4;
        }
        struct span line = span_first(rest, len), number;
        rest = span_after(rest, skip);
        uint64_t of = 0;
        if (line.len <= n || memcmp(line.at, word, n) != 0 || line.at[n] != '\t')
            continue;
        number = span_after(line, n + 1);
        number = span_first(number, span_find(number, '\t'));
        number = span_first(number, span_find(number, '\0')); /* mired's lines end at a NUL */
        if (span_number(number, &of) && (uint32_t)of >= 1 && (uint32_t)of <= REQUESTS)
            return true;
    }
    return false;
}

static void check(enum answer_result r)
{
    assert(r != ANSWER_YES || said("OK"));
    assert(r != ANSWER_NO || said("FAIL"));
    assert(r != ANSWER_MORE || said("CONT"));
}

static void answered(void *arg, const struct auth_asker *asker, enum answer_result result,
                     struct span text, struct span name)
{
    answers++;
    assert(result == ANSWER_YES || result == ANSWER_NO || result == ANSWER_LATER);
    check(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    struct addr client = {.family = ADDR_IP4};
    struct auth_asker asker = {0};
    struct dovecot_login login;
    struct buf answer = {0}, name = {0};
    int asked = 0;

    if (size > HOSTILE_MAX)
        return 0;
    if (!config)
        config = hostile_config("backend \"smtp://127.0.0.1:2526\" { }\n"
                                "auth \"dovecot\" { path = \"/run/none\" }\n");
    input = (struct span){(const char *)data, size};
    answers = 0;
    hostile_begin(data, size);
    struct dovecot_auth *d = dovecot_auth_open(&config->auth[0]);
    assert(d);
    dovecot_auth_tell(d, answered, NULL);
    asked += dovecot_auth_ask(d, SPAN("bob"), SPAN("pw"), &client, &asker);
    asked += dovecot_auth_ask(d, SPAN("carol"), SPAN("pw"), &client, &asker);
    check(dovecot_auth_check(d, SPAN("alice"), SPAN("secret"), &client, &name));
    enum answer_result r =
        dovecot_scram_begin(d, SPAN("n,,n=alice,r=abcdefgh"), &client, &login, &answer);
    check(r);
    if (r == ANSWER_MORE)
        asked += dovecot_scram_end(d, &login, SPAN("c=biws,r=x,p=eA=="), &asker);
    for (int i = 0; i < 4; i++)
        dovecot_auth_read(d);
    dovecot_auth_close(d);
    assert(answers == asked);
    buf_free(&answer);
    buf_free(&name);
    hostile_close();
    return 0;
}
