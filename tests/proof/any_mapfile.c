/* Mapped files (base/mapfile.h) of any content; and hashes of any value, of which only the octets
 * that they read are checked. */
#include "any.h"

#include <errno.h>

#include "base/mapfile.h"

int mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                 size_t body_size)
{
    char *body = any_choice ? malloc(body_size) : NULL;

    if (!body)
        return -ENOMEM;
    Frama_C_make_unknown(body, body_size);
    *m = (struct mapfile){
        .body = body, .body_size = body_size, .key = {any_number, any_number}, .fd = -1};
    return 0;
}

void mapfile_close(struct mapfile *m)
{
    free(m->body);
}

static void check(const void *octets, size_t n)
{
    //@ assert octets_are_there: n == 0 || \valid_read((const char *)octets + (0 .. n - 1));
}

uint64_t siphash(const struct sipkey *key, const void *octets, size_t n)
{
    check(octets, n);
    return any_number;
}

void siphash_start(struct siphash *h, const struct sipkey *key)
{
    *h = (struct siphash){.v0 = key->k0 ^ key->k1};
}

void siphash_add(struct siphash *h, const void *octets, size_t n)
{
    check(octets, n);
    h->v0 ^= any_number;
}

uint64_t siphash_end(struct siphash *h)
{
    return h->v0 ^ any_number;
}
