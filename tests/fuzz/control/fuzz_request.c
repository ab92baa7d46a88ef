/* Whatever a client of the control socket sends is a request or is refused with words. */
#include <assert.h>
#include <stdint.h>

#include "control/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request r;
    const char *wrong = request_parse((struct span){(const char *)data, size}, &r);

    if (wrong) {
        assert(*wrong && r.code && *r.code && !r.args);
        return 0;
    }
    assert(r.command < COMMAND_COUNT && json_is_object(r.args));
    const char *address = request_text(r.args, "address");
    assert(!address || json_object_get(r.args, "address"));
    (void)request_flag(r.args, "all");
    json_decref(r.args);
    return 0;
}
