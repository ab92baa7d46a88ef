/* The directories in order, and the forms of an address that each is asked for. Runs in clerks.
 *
 * user+tag@domain is asked for as it stands, without its tag, and as @domain. The first source that
 * knows one of them wins. One that cannot tell makes the whole answer "later" unless another one
 * knows: a directory that is down must never turn a recipient into an unknown one. */
#include "directory/directory.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "directory/file.h"
#include "smtp/address.h"

struct source {
    struct file_directory *file;
};

struct directory {
    const struct config *config;
    struct source *source;
    size_t sources;
};

struct directory *directory_open(const struct config *config)
{
    struct directory *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->config = config;
    d->source = calloc(config->recipients_count + 1, sizeof *d->source);
    if (!d->source) {
        free(d);
        return NULL;
    }
    for (size_t i = 0; i < config->recipients_count; i++) {
        d->source[i].file = file_directory_open(config->recipients[i].path);
        if (!d->source[i].file) {
            directory_close(d);
            return NULL;
        }
        d->sources++;
    }
    return d;
}

void directory_close(struct directory *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->sources; i++)
        file_directory_close(d->source[i].file);
    free(d->source);
    free(d);
}

enum { FORMS = 3 };

/* The forms under which an address may stand in a directory; returns how many. */
static int make_forms(const struct directory *d, struct span address, char *room,
                      struct span form[FORMS])
{
    size_t sign = address.len;
    int n = 0;

    form[n++] = address;
    while (sign > 0 && address.at[sign - 1] != '@')
        sign--;
    if (sign == 0)
        return n;
    struct span local = span_first(address, sign - 1);
    struct span domain = span_after(address, sign - 1); /* with its @ */
    struct span bare = local_without_tag(local, d->config->recipient_delimiter);
    if (bare.len < local.len) {
        memcpy(room, bare.at, bare.len);
        memcpy(room + bare.len, domain.at, domain.len);
        form[n++] = (struct span){room, bare.len + domain.len};
    }
    form[n++] = domain;
    return n;
}

static enum answer_result ask_source(struct source *s, const struct span *form, int forms)
{
    uint64_t now = clock_mono_ms();
    enum answer_result result = ANSWER_NO;

    for (int i = 0; i < forms && result != ANSWER_YES; i++) {
        enum answer_result r = file_directory_has(s->file, form[i], now);
        if (r != ANSWER_NO)
            result = r;
    }
    return result;
}

void directory_ask(struct directory *d, struct span address, struct answer *out)
{
    char room[ASK_TEXT_MAX];
    struct span form[FORMS];
    bool later = false;

    out->result = ANSWER_NO;
    if (d->sources == 0) { /* none configured: every local address is taken */
        out->result = ANSWER_YES;
        return;
    }
    if (address.len > sizeof room)
        return;
    int forms = make_forms(d, address, room, form);
    for (size_t i = 0; i < d->sources; i++) {
        out->source = (uint8_t)i;
        enum answer_result r = ask_source(&d->source[i], form, forms);
        if (r == ANSWER_YES) {
            out->result = ANSWER_YES;
            return;
        }
        later = later || r == ANSWER_LATER;
    }
    if (later)
        out->result = ANSWER_LATER;
}
