/* What a client says before it is greeted (R22). If smtp_early() takes it for a check, a session to
 * which it is said must end by it, with no offence, nothing asked of the caller and no mail: so
 * nobody gains by talking early as a check does. */
#include <assert.h>
#include <stdint.h>

#include "dialogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span early = {(const char *)data, size};
    struct dialogue t;

    if (size > SMTP_EARLY_MAX || smtp_early(early) != SMTP_EARLY_CHECK)
        return 0;
    dialogue_open(&t);
    dialogue_send(&t, early, 0);
    assert(t.ended);
    assert(t.offences == 0);
    assert(t.asked.len == 0 && t.body.len == 0);
    dialogue_close(&t);
    return 0;
}
