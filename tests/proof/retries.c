/* Deferred messages in a file of any content, which other processes change at any moment. */
#include "any.h"

#include "tarpit/retries.h"

static void follow(size_t size)
{
    struct retries *r;

    if (retries_open(&r, NULL, size) < 0)
        return;
    uint64_t message = retries_message(r, any_number, any_number);
    switch (any_choice) {
    case 0: (void)retries_is_due(r, message, any_number, any_number); break;
    case 1: retries_deferred(r, message, any_number, any_number); break;
    default: retries_restart(r, any_number);
    }
    retries_close(r);
}

int main(void)
{
    static const size_t size[] = {0, 64, 200, 1024};

    for (int i = 0; i < 4; i++)
        if (any_choice) {
            follow(size[i]);
            return 0;
        }
    return 0;
}
