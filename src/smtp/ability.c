/* Reading EHLO's reply; see ability.h. */
#include "smtp/ability.h"

#include <stddef.h>

#include "smtp/xclient.h"

enum { CAPS_BITS = 16 };

static uint32_t cap_of(struct span word)
{
    static const struct {
        const char *name;
        uint32_t cap;
    } known[] = {{"PIPELINING", CAP_PIPELINING},
                 {"SIZE", CAP_SIZE},
                 {"8BITMIME", CAP_8BITMIME},
                 {"SMTPUTF8", CAP_SMTPUTF8},
                 {"DSN", CAP_DSN},
                 {"ENHANCEDSTATUSCODES", CAP_ENHANCED},
                 {"XCLIENT", CAP_XCLIENT},
                 {"XFORWARD", CAP_XFORWARD},
                 {"STARTTLS", CAP_STARTTLS},
                 {"CHUNKING", CAP_CHUNKING},
                 {SMTP_AGAIN, CAP_AGAIN}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (span_equal_fold(word, span_of(known[i].name)))
            return known[i].cap;
    return 0;
}

void ability_learn(struct ability *a, struct span text)
{
    a->caps = 0;
    a->size_max = 0;
    while (text.len) {
        struct span line = span_first(text, span_find(text, '\n'));
        text = span_after(text, line.len + 1);
        struct span word = span_first(line, span_find(line, ' '));
        struct span words = span_trim(span_after(line, word.len + 1));
        uint32_t cap = cap_of(word);
        a->caps |= cap;
        if (cap == CAP_XCLIENT)
            a->xclient = xclient_attributes(words);
        if (cap == CAP_XFORWARD)
            a->xforward = xclient_attributes(words);
        if (cap == CAP_SIZE && !span_number(words, &a->size_max))
            a->size_max = 0;
    }
}

uint64_t ability_word(const struct ability *a)
{
    uint64_t size = a->size_max >> (64 - CAPS_BITS) ? 0 : a->size_max;

    return size << CAPS_BITS | (a->caps & ((1U << CAPS_BITS) - 1));
}

struct ability ability_of_word(uint64_t word)
{
    return (struct ability){.caps = (uint32_t)(word & ((1U << CAPS_BITS) - 1)),
                            .size_max = word >> CAPS_BITS};
}
