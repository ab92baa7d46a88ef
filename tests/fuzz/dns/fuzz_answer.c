/* Whatever a DNS answer consists of, its TTL, addresses and names are read within it, and are such
 * as it may have. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dns/answer.h"
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
    uint8_t addresses[4 * 16];
    assert(dns_addresses(exact, size, 4, addresses, 4) <= 4);
    assert(dns_addresses(exact, size, 16, addresses, 4) <= 4);
    struct dns_name names[4];
    for (size_t n = dns_names(exact, size, names, 4); n > 0; n--)
        assert(dns_name_is_valid(span_of(names[n - 1].text)));
    free(exact);
    return 0;
}
