/* The clocks. Read through the vDSO: tens of nanoseconds, no system call. */
#include "base/clock.h"

#include <time.h>

static uint64_t clock_read(clockid_t id, uint64_t per_second)
{
    struct timespec t;

    clock_gettime(id, &t); /* cannot fail for these clocks */
    return (uint64_t)t.tv_sec * per_second + (uint64_t)t.tv_nsec / (1000000000 / per_second);
}

uint64_t clock_wall_ms(void)
{
    return clock_read(CLOCK_REALTIME, 1000);
}

uint64_t clock_mono_ms(void)
{
    return clock_read(CLOCK_MONOTONIC, 1000);
}

uint64_t clock_boot_ms(void)
{
    return clock_read(CLOCK_BOOTTIME, 1000);
}

uint64_t clock_mono_us(void)
{
    return clock_read(CLOCK_MONOTONIC, 1000000);
}
