/* The clocks of a unit test: they stand still until it moves them. For one file of a program; takes the
 * place of base/clock.c. */
#ifndef UNIT_VIRTUAL_CLOCK_H
#define UNIT_VIRTUAL_CLOCK_H

#include "base/clock.h"

static uint64_t mono_ms = 5000;

uint64_t clock_mono_ms(void)
{
    return mono_ms;
}

uint64_t clock_mono_us(void)
{
    return mono_ms * 1000;
}

uint64_t clock_wall_ms(void)
{
    return mono_ms;
}

#endif
