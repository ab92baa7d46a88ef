/* Whatever a balancer sends is a header, none, or too little; and one that was read, written again,
 * is read as the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size};
    struct addr client = {0}, again = {0}, server = {.family = ADDR_IP4, .port = 25};
    size_t used = 0, length = 0;
    enum proxy_result r = proxy_read(in, &client, &used);

    if ((r == PROXY_KNOWN || r == PROXY_LOCAL) && (used == 0 || used > size))
        abort();
    for (size_t less = 0; less < size && less < PROXY_HEADER_MAX; less++) {
        enum proxy_result part = proxy_read(span_first(in, less), &again, &length);
        if (r != PROXY_BAD && less < used && part != PROXY_MORE)
            abort();
    }
    server.family = client.family;
    for (int version = 1; r == PROXY_KNOWN && version <= 2; version++) {
        struct buf out = {0};
        if (proxy_write(&out, version, &client, &server) == 0 &&
            (proxy_read(buf_span(&out), &again, &length) != PROXY_KNOWN || length != out.len ||
             !addr_equal(&again, &client) || again.port != client.port))
            abort();
        buf_free(&out);
    }
    return 0;
}
