/* Whatever a client or a backend said, a reply is sound on the wire, and a dripped one too. The
 * first octets are the row and, for REPLY_OTHER, the code and enhanced code. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 5 };
    struct buf out = {0};
    if (size < HEAD)
        return 0;
    struct reply r =
        reply_make(data[0] % REPLY_COUNT, (struct span){(const char *)data + HEAD, size - HEAD});
    if (r.id == REPLY_OTHER) {
        r.code = (uint16_t)(200 + data[1]);
        memcpy(r.enhanced, data + 2, sizeof r.enhanced);
    }
    assert(!reply_write(&r, &out));
    if (r.id != REPLY_EHLO) {
        assert(!wire_fault(buf_span(&out)));
        assert(out.len <= REPLY_WHOLE_MAX);
    }
    buf_free(&out);
    for (int i = 0; i < REPLY_DRIPS_MAX + 1; i++)
        assert(!reply_drip(&r, i == 0, &out));
    assert(!reply_end_drip(&r, &out));
    assert(!wire_fault(buf_span(&out)));
    assert(out.len <= REPLY_WHOLE_MAX);
    buf_free(&out);
    return 0;
}
