/* What is common to those who send notes; see notes.h. */
#include "query/notes.h"

#include <poll.h>
#include <string.h>

#include "base/log.h"

int note_ready(int control, unsigned compiled)
{
    enum { TRIES = 100, PAUSE_MS = 20 };
    int error = 0;

    for (int i = 0; i < TRIES; i++) {
        error = channel_tell(control, NOTE_READY, (int32_t)compiled, 0, NULL);
        if (!channel_may_again(error))
            break;
        poll(NULL, 0, PAUSE_MS);
    }
    if (!error)
        return 0;
    log_error("cannot tell the master that this process is ready: %s", strerrordesc_np(-error));
    return 1;
}
