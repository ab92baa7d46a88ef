/* Whatever a DNS answer consists of, its TTL is read within it, and is one that it may have. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dns/ttl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *own = malloc(size + 1); /* of its very size, so that a step beyond it is seen */

    assert(own);
    memcpy(own, data, size);
    uint8_t *exact = realloc(own, size ? size : 1);
    assert(exact);
    uint32_t ttl = dns_ttl(exact, size, 300);
    assert(ttl <= INT32_MAX);
    if (size < 12)
        assert(ttl == 300);
    free(exact);
    return 0;
}
