/* The tables of conn_state.h as data. */
#include "worker/conn_state.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name, *waits_for;
} phases[] = {
#define PHASE_ROW(id, phase_name, what) [CONN_##id] = {(phase_name), (what)},
    CONN_PHASES(PHASE_ROW)
#undef PHASE_ROW
};

static const char *const flag_names[] = {
#define FLAG_ROW(id, bit, name) [bit] = (name),
    CONN_FLAGS(FLAG_ROW)
#undef FLAG_ROW
};
enum { FLAG_COUNT = sizeof flag_names / sizeof flag_names[0] };

/* All names with a comma each fit. */
#define FLAG_ROOM(id, bit, name) char of_##id[sizeof(name)];
static_assert(sizeof(struct {CONN_FLAGS(FLAG_ROOM)}) <= CONN_FLAGS_TEXT, "all flags fit");
#undef FLAG_ROOM

static const char *const reasons[] = {
#define REASON_ROW(unused, id, name) [CLOSE_##id] = (name),
    CLOSE_REASONS(REASON_ROW, )
#undef REASON_ROW
};

const char *conn_phase_name(enum conn_phase phase)
{
    return (unsigned)phase < CONN_PHASE_COUNT ? phases[phase].name : "?";
}

const char *conn_phase_waits_for(enum conn_phase phase)
{
    return (unsigned)phase < CONN_PHASE_COUNT ? phases[phase].waits_for : "?";
}

unsigned conn_phase_by_name(const char *name)
{
    unsigned i = 0;

    while (i < CONN_PHASE_COUNT && strcmp(phases[i].name, name) != 0)
        i++;
    return i;
}

const char *conn_flags_text(uint32_t flags, char out[CONN_FLAGS_TEXT])
{
    char *end = out;

    *out = '\0';
    for (unsigned i = 0; i < FLAG_COUNT; i++)
        if (flags >> i & 1) {
            if (end != out)
                *end++ = ',';
            end = stpcpy(end, flag_names[i]);
        }
    return out;
}

const char *close_reason_name(enum close_reason reason)
{
    return (unsigned)reason < CLOSE_REASON_COUNT ? reasons[reason] : "?";
}
