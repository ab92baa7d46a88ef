/* Names of sessions and messages; see ident.h. */
#include "worker/ident.h"

#include <string.h>

#include "base/siphash.h"

/* 18 minutes of microseconds, so that two messages of a session do not have the same id. */
enum { HANDED_BITS = 30 };

/* Without letters that look alike, and without vowels, so that no words appear. */
static const char digits[] = "0123456789bcdfghjkmnpqrstvwxyz";

static char *write_number(uint64_t n, int places, char *out)
{
    for (int i = places - 1; i >= 0; i--, n /= 30)
        out[i] = digits[n % 30];
    out[places] = '\0';
    return out + places;
}

const char *ident_session(const struct addr *peer, uint32_t opened_s, char out[IDENT_MAX])
{
    static const struct sipkey key;
    struct siphash h;

    siphash_start(&h, &key);
    siphash_add(&h, peer->octets, sizeof peer->octets);
    siphash_add(&h, &peer->port, sizeof peer->port);
    siphash_add(&h, &opened_s, sizeof opened_s);
    write_number(siphash_end(&h), IDENT_SESSION, out);
    return out;
}

const char *ident_message(const struct addr *peer, uint32_t opened_s, uint64_t handed_us,
                          char out[IDENT_MAX])
{
    ident_session(peer, opened_s, out);
    out[IDENT_SESSION] = '-';
    write_number(handed_us % ((uint64_t)1 << HANDED_BITS), 7, out + IDENT_SESSION + 1);
    return out;
}
