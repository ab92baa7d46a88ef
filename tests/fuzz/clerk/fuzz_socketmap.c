/* Whatever a socketmap server says: a recipient exists only after "OK", and does not exist only
 * after "NOTFOUND", each in a well-formed netstring at the beginning of a connection. */
#include "directory/remote.h"

#include "../hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUESTIONS = 3 };

/* A naive reading of one reply; false if it is not one. */
static bool naive_reply(struct span *in, struct span *word)
{
    size_t colon = span_find(*in, ':');
    uint64_t len = 0;

    if (colon == 0 || colon > 6 || !span_number(span_first(*in, colon), &len) || len > 100000 ||
        in->len < colon + 1 + len + 1 || in->at[colon + 1 + len] != ',')
        return false;
    *word = span_first(span_after(*in, colon + 1), len);
    *in = span_after(*in, colon + len + 2);
    return true;
}

static bool begins(struct span s, struct span with)
{
    return s.len >= with.len && memcmp(s.at, with.at, with.len) == 0;
}

/* Whether any reply in any part of the input says so. */
static bool said(struct span all, enum answer_result what)
{
    for (bool more = true; more;) {
        const char *cut = all.len ? memmem(all.at, all.len, "CUT!", 4) : NULL;
        struct span part = span_first(all, cut ? (size_t)(cut - all.at) : SIZE_MAX), word;
        while (naive_reply(&part, &word)) {
            if (what == ANSWER_YES && begins(word, SPAN("OK")))
                return true;
            if (what == ANSWER_NO && begins(word, SPAN("NOTFOUND")))
                return true;
        }
        more = cut != NULL;
        all = cut ? span_after(all, (size_t)(cut - all.at) + 4) : all;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;

    if (size > HOSTILE_MAX)
        return 0;
    if (!config)
        config = hostile_config("backend \"smtp://127.0.0.1:2526\" { }\n"
                                "recipients \"socketmap\" { path = \"/run/none\" map = \"m\" }\n");
    hostile_begin(data, size);
    struct socketmap_directory *s = socketmap_directory_open(&config->recipients[0]);
    assert(s);
    for (int i = 0; i < QUESTIONS; i++) {
        enum answer_result r = socketmap_directory_ask(s, SPAN("alice@example.org"));
        assert(r == ANSWER_YES || r == ANSWER_NO || r == ANSWER_LATER || r == ANSWER_SILENCE);
        if (r == ANSWER_YES || r == ANSWER_NO)
            assert(said((struct span){(const char *)data, size}, r));
    }
    socketmap_directory_close(s);
    hostile_close();
    return 0;
}
