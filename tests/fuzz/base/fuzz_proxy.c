/* Whatever a balancer sends is a header, none, or too little; and one that was read, written again,
 * is read as the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size};
    struct addr server = {.family = ADDR_IP4, .port = 25};
    struct proxy_header h, part, again;
    enum proxy_result r = proxy_read(in, &h);

    if ((r == PROXY_KNOWN || r == PROXY_LOCAL) && (h.used == 0 || h.used > size))
        abort();
    if ((r == PROXY_BAD) != (h.why != NULL))
        abort();
    for (size_t less = 0; less < size && less < PROXY_HEADER_MAX; less++) {
        enum proxy_result early = proxy_read(span_first(in, less), &part);
        if (r != PROXY_BAD && less < h.used && early != PROXY_MORE)
            abort();
    }
    server.family = h.client.family;
    for (int version = 1; r == PROXY_KNOWN && version <= 2; version++) {
        struct buf out = {0};
        if (proxy_write(&out, version, &h.client, &server) == 0 &&
            (proxy_read(buf_span(&out), &again) != PROXY_KNOWN || again.used != out.len ||
             !addr_equal(&again.client, &h.client) || again.client.port != h.client.port))
            abort();
        buf_free(&out);
    }
    return 0;
}
