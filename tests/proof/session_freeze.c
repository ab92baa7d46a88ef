/* Frozen sessions: the record of any session, and a session from any record. */
#include "any_session.h"

#include <errno.h>

static void freeze(void)
{
    uint8_t reading = (uint8_t)Frama_C_interval(0, READ_COUNT - 1);
    uint8_t mechanism = (uint8_t)Frama_C_interval(0, MECHANISM_COUNT - 1);
    uint8_t wait = (uint8_t)Frama_C_interval(0, WAIT_COUNT - 1);
    struct smtp_session s = any_session(any_state(), wait, reading, mechanism);
    struct buf out = {.at = NULL};

    (void)session_freeze(&s, &out);
    //@ assert written_within: out.len <= out.cap;
    buf_free(&out);
}

static void thaw(size_t len)
{
    char record[32];
    struct smtp_session s;

    Frama_C_make_unknown(record, sizeof record);
    if (session_thaw(&s, (struct span){record, len}) == 0)
        check_session(&s);
}

int main(void)
{
    for (size_t len = 26; len <= 32; len++) /* a record without its block has 28 */
        if (any_choice) {
            thaw(len);
            return 0;
        }
    freeze();
    return 0;
}
