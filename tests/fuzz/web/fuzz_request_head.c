/* Whatever comes on the page's port is a request or is refused with words; a Host that passes has
 * nothing in it that a name or an address has not. */
#include <assert.h>
#include <string.h>

#include "web/request_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = {(const char *)data, size};
    size_t len = request_head_length(all);
    struct request_head r;
    struct addr reached = {0};

    assert(len <= size && (len == 0 || data[len - 1] == '\n'));
    for (size_t n = 0; n < len && n < 256; n++)
        assert(request_head_length(span_first(all, n)) == 0);
    const char *wrong = request_head_parse(span_first(all, len), &r);
    assert(!wrong || *wrong);
    if (wrong)
        return 0;
    for (size_t i = 0; i < r.host.len; i++)
        assert(r.host.at[i] > ' ' && !strchr("/@?#,\\[]", r.host.at[i]));
    (void)request_head_is_for_us(r.host, &reached, NULL, 0);
    return 0;
}
