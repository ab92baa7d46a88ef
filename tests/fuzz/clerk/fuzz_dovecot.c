/* Whatever Dovecot's auth socket says: a password is right only after a line "OK" with the number of
 * a request that mired has sent, refused only after such a line "FAIL", or "OK" with the field
 * "nologin", a challenge of SCRAM is only the answer to a first message, and each request gets one
 * answer. */
#include "auth/remote.h"

#include "../hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS = 16 };

static struct span input;
static int answers;

/* Whether a line has this word, the number of a request, and a field that begins so. */
static bool said_with(const char *word, const char *field)
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
        line = span_first(line, span_find(line, '\0')); /* mired's lines end at a NUL */
        uint64_t of = 0;
        if (line.len <= n || memcmp(line.at, word, n) != 0 || line.at[n] != '\t')
            continue;
        number = span_after(line, n + 1);
        number = span_first(number, span_find(number, '\t'));
        if (span_number(number, &of) && (uint32_t)of >= 1 && (uint32_t)of <= REQUESTS &&
            memmem(line.at, line.len, field, strlen(field)))
            return true;
    }
    return false;
}

static bool said(const char *word)
{
    return said_with(word, "");
}

/* What was asked for, and whether its answer is there. */
struct asked {
    bool first; /* SCRAM's first message */
    bool done;
    enum answer_result result;
};

static void answered(void *arg, enum answer_result r, struct span text, struct span name)
{
    struct asked *a = arg;

    answers++;
    assert(!a->done);
    a->done = true;
    a->result = r;
    assert(r == ANSWER_YES || r == ANSWER_NO || r == ANSWER_LATER || r == ANSWER_MORE);
    assert(r != ANSWER_YES || (said("OK") && !a->first));
    assert(r != ANSWER_NO || said("FAIL") || said_with("OK", "\tnologin"));
    assert(r != ANSWER_MORE || (said("CONT") && a->first));
    assert(r != ANSWER_MORE || span_starts_fold(text, SPAN("r=abcdefgh")));
}

static struct dovecot_request request(struct asked *a)
{
    return (struct dovecot_request){.answered = answered, .arg = a, .patience_ms = 5000};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    struct addr client = {.family = ADDR_IP4};
    struct asked of[4] = {{0}, {0}, {.first = true}, {0}};
    struct dovecot_login login = {0};
    struct dovecot_request r[4];
    uint64_t now = 1000;
    int asked = 0;

    if (size > HOSTILE_MAX)
        return 0;
    if (!config)
        config = hostile_config("backend \"smtp://127.0.0.1:2526\" { }\n"
                                "auth \"dovecot\" { path = \"/run/none\" }\n");
    input = (struct span){(const char *)data, size};
    answers = 0;
    hostile_begin(data, size);
    struct dovecot_auth *d = dovecot_auth_open(&config->auth[0], 2);
    assert(d);
    for (int i = 0; i < 4; i++)
        r[i] = request(&of[i]);
    asked += dovecot_auth_ask(d, &r[0], SPAN("bob"), SPAN("pw"), &client, now);
    asked += dovecot_auth_ask(d, &r[1], SPAN("carol"), SPAN("pw"), &client, now);
    asked += dovecot_scram_begin(d, &r[2], SPAN("n,,n=alice,r=abcdefgh"), &client, &login, now);
    for (int i = 0; i < 8; i++) {
        dovecot_auth_read(d, now);
        if (of[2].done && of[2].result == ANSWER_MORE && !of[3].done && i == 3)
            asked += dovecot_scram_end(d, &r[3], &login, SPAN("c=biws,r=x,p=eA=="), now);
        now += 400;
        assert(dovecot_auth_look(d, now) > 0);
    }
    dovecot_auth_close(d);
    assert(answers == asked);
    hostile_close();
    return 0;
}
