/* The delays between a child's deaths and its restarts. Used by the master; knows neither clock nor
 * process.
 *
 * The first restart is immediate, because most deaths come from one bad connection, and clients
 * wait in the accept queue meanwhile. From the second on the delay doubles, because a child that
 * always dies at once would otherwise use up the machine. */
#include "master/backoff.h"

uint64_t backoff_next(struct backoff *b, uint64_t ran_ms)
{
    if (ran_ms >= BACKOFF_RESET_MS)
        b->deaths = 0;
    uint32_t before = b->deaths++;
    if (before == 0)
        return 0;
    if (before > 7) /* 100 << 7 is beyond the limit already */
        return BACKOFF_MAX_MS;
    uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << (before - 1);
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}
