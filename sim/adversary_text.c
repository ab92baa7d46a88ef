/* An adversary's plan in words (adversary.h). */
#include "adversary.h"
#include "base/offence.h"

enum unit { UNIT_none, UNIT_many, UNIT_time, UNIT_few };

static const struct {
    const char *text;
    enum unit unit;
} words[MOVE_KINDS] = {
#define ADVERSARY_WORDS(id, text, unit) [MOVE_##id] = {text, UNIT_##unit},
    ADVERSARY_MOVES_TABLE(ADVERSARY_WORDS)
#undef ADVERSARY_WORDS
};

static const char *const offence_name[OFFENCE_COUNT] = {
#define ADVERSARY_OFFENCE(id, name, weight, verdict) [OFFENCE_##id] = (name),
    OFFENCES(ADVERSARY_OFFENCE)
#undef ADVERSARY_OFFENCE
};

static void duration(uint32_t ms, char text[16])
{
    if (ms < 60000)
        snprintf(text, 16, "%g s", ms / 1e3);
    else if (ms < 3600000)
        snprintf(text, 16, "%u min", ms / 60000);
    else
        snprintf(text, 16, "%u h", ms / 3600000);
}

/* The formats are those of the table, one for each unit. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

const char *adversary_text(const struct adversary_move *m, char text[ADVERSARY_TEXT])
{
    const char *form = words[m->kind].text;
    unsigned many = adversary_count(m);
    char time[16];

    switch (words[m->kind].unit) {
    case UNIT_none: snprintf(text, ADVERSARY_TEXT, "%s", form); break;
    case UNIT_many:
        snprintf(text, ADVERSARY_TEXT, form, many, offence_name[adversary_offence(m)]);
        break;
    case UNIT_time:
        duration(adversary_time[m->a % ADVERSARY_TIMES], time);
        snprintf(text, ADVERSARY_TEXT, form, time);
        break;
    case UNIT_few:
        snprintf(text, ADVERSARY_TEXT, form,
                 m->a % (m->kind == MOVE_SENDER ? ADVERSARY_DOMAINS : ADVERSARY_ADDRESSES));
        break;
    }
    return text;
}

#pragma GCC diagnostic pop

void adversary_print(FILE *out, const struct adversary_plan *plan)
{
    char text[ADVERSARY_TEXT];

    if (plan->ip6)
        fputs("(over IPv6)\n", out);
    for (uint32_t i = 0; i < (uint32_t)plan->once + plan->again; i++)
        fprintf(out, "  %s: %s\n", i < plan->once ? "once" : "again",
                adversary_text(&plan->move[i], text));
}
