/* Keeps track of releases; see releases.h. In the freezer. Pure. */
#include "freezer/releases.h"

#include <stddef.h>

uint64_t releases_due(struct releases *r, uint64_t now)
{
    r->last_due_ms = now > r->last_due_ms ? now : r->last_due_ms + 1;
    return r->last_due_ms;
}

static void end(struct releases *r, struct release *one)
{
    r->tell(r->arg, one->tag, one->answered, true);
    *one = (struct release){0};
}

static bool overlap(const struct network *a, const struct network *b)
{
    return network_contains(a, &b->base) || network_contains(b, &a->base);
}

void releases_begin(struct releases *r, uint64_t tag, const struct network *n, uint64_t due_ms,
                    uint32_t count, uint64_t now)
{
    struct release *place = &r->at[0];

    for (size_t i = 0; i < RELEASES; i++) {
        struct release *one = &r->at[i];
        if (one->left && overlap(&one->network, n))
            end(r, one);
    }
    for (size_t i = 0; i < RELEASES; i++)
        if (r->at[i].begun_ms < place->begun_ms)
            place = &r->at[i];
    if (place->begun_ms) /* too many at once: the oldest ends with what it has */
        end(r, place);
    if (count == 0) {
        r->tell(r->arg, tag, 0, true);
        return;
    }
    *place = (struct release){.tag = tag,
                              .network = *n,
                              .due_ms = due_ms,
                              .begun_ms = now,
                              .told_ms = now,
                              .left = count};
}

/* The one of this client that is under way; NULL: none. */
static const struct release *release_of(const struct releases *r, const struct addr *client)
{
    for (size_t i = 0; i < RELEASES; i++)
        if (r->at[i].left && network_concerns(&r->at[i].network, client))
            return &r->at[i];
    return NULL;
}

bool releases_concern(const struct releases *r, const struct addr *client)
{
    return release_of(r, client) != NULL;
}

/* What belongs to none has a time of its own, so that no release counts it. One time serves for
 * many: each further one is a millisecond later. */
uint64_t releases_late(struct releases *r, const struct addr *client, uint64_t now)
{
    const struct release *one = release_of(r, client);

    if (one)
        return one->due_ms;
    if (now > r->late_due_ms + RELEASE_TELL_MS || r->late_due_ms > now + RELEASE_TELL_MS)
        r->late_due_ms = releases_due(r, now);
    return r->late_due_ms;
}

void releases_came(struct releases *r, uint64_t due_ms)
{
    for (size_t i = 0; i < RELEASES; i++)
        if (r->at[i].left && r->at[i].due_ms == due_ms)
            r->at[i].left++;
}

void releases_thawed(struct releases *r, uint64_t due_ms, bool given)
{
    for (size_t i = 0; i < RELEASES; i++) {
        struct release *one = &r->at[i];
        if (!one->left || one->due_ms != due_ms)
            continue;
        one->left--;
        one->answered += given;
        if (!one->left)
            one->begun_ms = 1; /* over, and to be told: once what was given has been sent */
        return;
    }
}

void releases_clock_was_set(struct releases *r, int64_t by)
{
    for (size_t i = 0; i < RELEASES; i++) {
        struct release *one = &r->at[i];
        if (!one->left)
            continue;
        one->due_ms += (uint64_t)by;
        one->begun_ms += (uint64_t)by;
        one->told_ms += (uint64_t)by;
    }
    if (r->last_due_ms)
        r->last_due_ms += (uint64_t)by;
    if (r->late_due_ms)
        r->late_due_ms += (uint64_t)by;
}

bool releases_under_way(const struct releases *r)
{
    for (size_t i = 0; i < RELEASES; i++)
        if (r->at[i].begun_ms)
            return true;
    return false;
}

void releases_tell(struct releases *r, uint64_t now)
{
    for (size_t i = 0; i < RELEASES; i++) {
        struct release *one = &r->at[i];
        if (!one->begun_ms)
            continue;
        if (!one->left || now > one->begun_ms + RELEASE_LAST_MS) {
            end(r, one);
        } else if (now >= one->told_ms + RELEASE_TELL_MS) {
            r->tell(r->arg, one->tag, one->answered, false);
            one->told_ms = now;
        }
    }
}
