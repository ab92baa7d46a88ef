/* Messages of the load generators; see message.h. */
#include "message.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 72, HEADER_MAX = 256, MIX_MEDIAN = 30000, MIX_MEAN = 150000 };

static const char letters[] =
    "All work and no play makes a dull mail, and dull mail is just what counts";

void message_compose(struct buf *message, const char *from, const char *to, size_t size)
{
    int error = buf_addf(message,
                         "From: <%s>\r\nTo: <%s>\r\nSubject: load\r\n"
                         "Message-ID: <load@sender.test>\r\n\r\n",
                         from, to);

    while (!error && message->len + 2 < size) {
        size_t n = size - message->len - 2;
        error = buf_add(message, letters, n < LINE ? n : LINE);
        if (!error)
            error = buf_add(message, "\r\n", 2);
    }
    if (error)
        abort();
}

struct span message_cut(const struct buf *message, size_t size)
{
    size_t len = size < message->len ? size : message->len;

    if (len < HEADER_MAX)
        len = HEADER_MAX < message->len ? HEADER_MAX : message->len;
    while (message->at[len - 1] != '\n')
        len--;
    return (struct span){message->at, len};
}

/* xorshift64 (Marsaglia 2003): the same mail in each run. */
static double between_0_and_1(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return ((double)(*seed >> 12) + 0.5) / (double)(UINT64_C(1) << 52);
}

size_t message_mix(uint64_t *seed)
{
    static const double two_pi = 6.283185307179586;
    double deviation = sqrt(2 * log((double)MIX_MEAN / MIX_MEDIAN));
    double r = sqrt(-2 * log(between_0_and_1(seed)));
    double size = MIX_MEDIAN * exp(deviation * r * cos(two_pi * between_0_and_1(seed)));

    return size < MESSAGE_MIX_MAX ? (size_t)size : MESSAGE_MIX_MAX;
}
