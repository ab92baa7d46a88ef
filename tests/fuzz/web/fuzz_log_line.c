/* Lines of the log are searched for words and their sessions, whatever stands in them. The first
 * line of the input is what is looked for. */
#include <assert.h>
#include <stdint.h>

#include "control/log_find.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = {(const char *)data, size};
    struct span first = span_first(all, span_find(all, '\n'));
    struct span line = span_after(all, first.len + 1);
    struct log_wanted w;

    if (log_want(&w, first) && log_mentions(line, &w))
        assert(line.len > 0);
    struct span session = log_session(line);
    assert(session.len == 0 ||
           (session.at >= line.at && session.at + session.len <= line.at + line.len));
    return 0;
}
