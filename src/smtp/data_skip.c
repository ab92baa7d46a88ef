/* The vector part of the data scanner; see data_part.h.
 *
 * It looks at 64 octets at a time: four masks with a bit for each octet say where CR, LF, dots and
 * NULs are, and a few operations on the masks show whether every CR has its LF and whether a line
 * begins with a dot. Blocks that are not plainly good are left to the scanner in data.c, so no rule
 * about bad messages is written twice. */
#include "smtp/data_part.h"

#if defined __x86_64__

#include <immintrin.h>

/* A bit for each octet of a block. */
struct marks {
    uint64_t cr, lf, dot, nul;
};

static inline uint64_t join(int a, int b, int c, int d)
{
    return (uint64_t)(uint16_t)a | (uint64_t)(uint16_t)b << 16 | (uint64_t)(uint16_t)c << 32 |
           (uint64_t)(uint16_t)d << 48;
}

static inline uint64_t where_sse2(const __m128i v[4], char c)
{
    const __m128i wanted = _mm_set1_epi8(c);

    return join(_mm_movemask_epi8(_mm_cmpeq_epi8(v[0], wanted)),
                _mm_movemask_epi8(_mm_cmpeq_epi8(v[1], wanted)),
                _mm_movemask_epi8(_mm_cmpeq_epi8(v[2], wanted)),
                _mm_movemask_epi8(_mm_cmpeq_epi8(v[3], wanted)));
}

static inline void mark_sse2(const char *at, struct marks *m)
{
    __m128i v[4];

    for (int i = 0; i < 4; i++)
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(at + (size_t)i * 16));
    m->cr = where_sse2(v, '\r');
    m->lf = where_sse2(v, '\n');
    m->dot = where_sse2(v, '.');
    m->nul = where_sse2(v, '\0');
}

__attribute__((target("avx2"))) static inline uint64_t where_avx2(__m256i a, __m256i b, char c)
{
    const __m256i wanted = _mm256_set1_epi8(c);

    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, wanted)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, wanted)) << 32;
}

__attribute__((target("avx2"))) static inline void mark_avx2(const char *at, struct marks *m)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(at + 32));

    m->cr = where_avx2(a, b, '\r');
    m->lf = where_avx2(a, b, '\n');
    m->dot = where_avx2(a, b, '.');
    m->nul = where_avx2(a, b, '\0');
}

/* The same loop with each set of instructions. */
#define SKIP skip_sse2
#define MARK mark_sse2
#define TARGET
#include "smtp/data_skip_loop.h"
#undef SKIP
#undef MARK
#undef TARGET
#define SKIP   skip_avx2
#define MARK   mark_avx2
#define TARGET __attribute__((target("avx2,bmi,popcnt")))
#include "smtp/data_skip_loop.h"

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("popcnt");
}

static enum data_vectors most_vectors = DATA_AVX2;

bool data_use_vectors(enum data_vectors most)
{
    most_vectors = most;
    return most < DATA_AVX2 || has_avx2();
}

size_t data_skip(struct data_scan *d, struct span in, bool stuffed, size_t *dots)
{
    /* where NULs are allowed, data.c looks at what is beside them in a line */
    if (in.len < DATA_BLOCK || most_vectors == DATA_SCALAR || d->allow_nul)
        return 0;
    return most_vectors == DATA_AVX2 && has_avx2() ? skip_avx2(d, in, stuffed, dots)
                                                   : skip_sse2(d, in, stuffed, dots);
}

#else

bool data_use_vectors(enum data_vectors most)
{
    return most == DATA_SCALAR;
}

size_t data_skip(struct data_scan *d, struct span in, bool stuffed, size_t *dots)
{
    return 0;
}

#endif
