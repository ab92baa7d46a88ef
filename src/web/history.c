/* The page's history: a ring of samples in a mapped file; a sample's time gives its place
 * (history.h). In the web process. */
#include "web/history.h"

#include <string.h>

#include "base/log.h"

static uint64_t begin_of(uint64_t ms)
{
    return ms - ms % HISTORY_EVERY_MS;
}

static struct history_sample *place(const struct history *h, uint64_t ms)
{
    return &h->sample[ms / HISTORY_EVERY_MS % HISTORY_SAMPLES];
}

int history_open(struct history *h, const char *path)
{
    size_t size = HISTORY_SAMPLES * sizeof *h->sample;
    int error = mapfile_open(&h->file, path, "MRDHISTO", 1, size);

    if (error && path) {
        log_warn("%s: %s; the page's history starts empty", path, strerrordesc_np(-error));
        error = mapfile_open(&h->file, NULL, "MRDHISTO", 1, size);
    }
    h->sample = h->file.body;
    return error;
}

void history_close(struct history *h)
{
    mapfile_close(&h->file);
    h->sample = NULL;
}

bool history_is_due(const struct history *h, uint64_t now)
{
    return place(h, now)->at_ms != begin_of(now);
}

void history_put(struct history *h, uint64_t now, struct history_sample s)
{
    s.at_ms = begin_of(now);
    *place(h, now) = s;
}

bool history_next(const struct history *h, uint64_t now, uint64_t *at, struct history_sample *out)
{
    uint64_t last = begin_of(now),
             first = last - (HISTORY_SAMPLES - 1) * (uint64_t)HISTORY_EVERY_MS;

    if (*at == 0)
        *at = first;
    for (; *at <= last; *at += HISTORY_EVERY_MS) {
        *out = *place(h, *at);
        if (out->at_ms == *at) {
            *at += HISTORY_EVERY_MS;
            return true;
        }
    }
    return false;
}
