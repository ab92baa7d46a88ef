/* The inputs of any.h; and pow(), of which Frama-C's library knows too little. */
#include "any.h"

#include <math.h>
#include <string.h>

volatile uint64_t any_number;
volatile double any_amount;
volatile int any_choice;

/* mired raises only a base of at least 1 to a power above 0. */
double pow(double base, double exponent)
{
    //@ assert base >= 1 && exponent > 0;
    return any_choice ? Frama_C_double_interval(1, __DBL_MAX__) : INFINITY;
}

/* The search in place of memchr(), with steps that EVA can follow one by one: of memchr() it has an idea of its own. */
void *proof_memchr(const void *in, int wanted, size_t len)
{
    const unsigned char *at = in;

    for (size_t i = 0; i < len; i++)
        if (at[i] == (unsigned char)wanted)
            return (void *)(at + i);
    return NULL;
}

void *proof_memmem(const void *in, size_t len, const void *wanted, size_t wanted_len)
{
    const unsigned char *at = in, *of = wanted;

    for (size_t i = 0; i + wanted_len <= len; i++) {
        size_t same = 0;
        while (same < wanted_len && at[i + same] == of[same])
            same++;
        if (same == wanted_len)
            return (void *)(at + i);
    }
    return NULL;
}

char *proof_strstr(const char *in, const char *wanted)
{
    for (; *in; in++) {
        size_t same = 0;
        while (wanted[same] && in[same] == wanted[same])
            same++;
        if (!wanted[same])
            return (char *)in;
    }
    return NULL;
}

size_t proof_strlen(const char *text)
{
    size_t len = 0;

    while (text[len])
        len++;
    return len;
}

/* What vsnprintf() writes is any text that fits; it may fail. */
int proof_format(char *out, size_t room, const char *format)
{
    int n = Frama_C_interval(-1, 1000);

    if (n >= 0 && room > 0) {
        size_t written = (size_t)n < room ? (size_t)n : room - 1;
        Frama_C_make_unknown(out, written);
        out[written] = '\0';
    }
    return n;
}
