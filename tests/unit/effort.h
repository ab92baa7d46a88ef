/* How many of its random worlds a long test tries in this build.
 *
 * The seeds are numbers in the tests, so all builds try the same worlds, and with the same results. An
 * optimised build tries all of them, or the first quarter with UNIT_QUARTER in the environment (`make
 * test`, for the second such build). A build without optimisation or with a sanitizer is several times
 * slower. It is there to find code that depends on the compiler, and wrong uses of memory. It tries the
 * first quarter, and all of them with UNIT_ALL in the environment (`make soak`). */
#ifndef UNIT_EFFORT_H
#define UNIT_EFFORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define EFFORT_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EFFORT_SANITIZED 1
#endif

static inline bool effort_is_whole(void)
{
#if defined(__OPTIMIZE__) && !defined(EFFORT_SANITIZED)
    return getenv("UNIT_QUARTER") == NULL;
#else
    return getenv("UNIT_ALL") != NULL;
#endif
}

/* `all`, or a quarter of it, at least one. */
static inline uint32_t effort_of(uint32_t all)
{
    return effort_is_whole() ? all : (all + 3) / 4;
}

#endif
