/* Counts held connections by client; see tally.h. Runs in workers and freezers, and in the web
 * process, which asks. */
#include "query/tally.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(TALLY_CLIENTS < UINT8_MAX, "place[] holds an index plus 1");

/* The client's place in the table, or a free one for it. The administrator's process chooses the
 * clients, not the clients themselves, so a plain hash is enough. */
static uint8_t *place_of(struct tally *t, const struct addr *client)
{
    uint64_t word;

    memcpy(&word, client->octets, sizeof word);
    size_t at = word * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    for (;; at++) {
        uint8_t *place = &t->place[at % TALLY_PLACES];
        if (*place == 0 || addr_equal(&t->client[*place - 1], client))
            return place;
    }
}

bool tally_add(struct tally *t, const struct addr *client)
{
    if (t->count == TALLY_CLIENTS)
        return false;
    t->client[t->count] = *client;
    uint8_t *place = place_of(t, client);
    t->held[t->count++] = 0;
    if (*place == 0)
        *place = (uint8_t)t->count;
    return true;
}

void tally_count(struct tally *t, const struct addr *peer)
{
    struct addr client = addr_client(peer);
    uint8_t place = *place_of(t, &client);

    if (place)
        t->held[place - 1]++;
}

void tally_format(const struct tally *t, char *out, size_t room)
{
    char text[ADDR_TEXT];
    size_t at = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < t->count && at < room; i++)
        at += (size_t)snprintf(out + at, room - at, "%s%s", i ? " " : "",
                               addr_format(&t->client[i], text));
}

bool tally_parse(struct tally *t, struct span text)
{
    *t = (struct tally){0};
    while (text.len) {
        size_t end = span_find(text, ' ');
        struct addr a;
        if (!addr_parse(span_first(text, end), &a))
            return false;
        struct addr client = addr_client(&a);
        if (!tally_add(t, &client))
            return false;
        text = span_after(text, end + (end < text.len));
    }
    return t->count > 0;
}

void tally_format_counts(const struct tally *t, char *out, size_t room)
{
    size_t at = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < t->count && at < room; i++)
        at += (size_t)snprintf(out + at, room - at, "%s%u", i ? " " : "", t->held[i]);
}

bool tally_add_counts(struct tally *t, const char *text)
{
    uint32_t number[TALLY_CLIENTS], n = 0;

    while (*text && n < t->count) {
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || value > UINT32_MAX || (*end != ' ' && *end != '\0'))
            return false;
        number[n++] = (uint32_t)value;
        text = end + (*end == ' ');
    }
    if (n != t->count || *text)
        return false;
    for (uint32_t i = 0; i < n; i++)
        t->held[i] += number[i];
    return true;
}
