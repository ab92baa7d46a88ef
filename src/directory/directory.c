/* The directories in order, and the forms of an address that each is asked for. Runs in clerks.
 *
 * user+tag@domain is asked for as it stands, without its tag, and as @domain. The first source that
 * knows one of them wins. One that cannot tell makes the whole answer "later" unless another one
 * knows: a directory that is down must never turn a recipient into an unknown one. */
#include "directory/directory.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "directory/cache.h"
#include "directory/file.h"
#include "directory/remote.h"
#include "smtp/address.h"

enum {
    CACHE_PLACES = 1 << 18, /* 4 MiB for each source of a clerk, as far as it is used */
    DOWN_MS = 1000,         /* a source that could not be asked is left alone for so long */
};

struct source {
    const struct config_recipients *config;
    union { /* by config->kind */
        struct file_directory *file;
        struct backend_directory *backend;
        struct socketmap_directory *socketmap;
        struct ldap_directory *ldap;
        void *any;
    } at;
    struct cache *cache; /* NULL: a file needs none */
    uint64_t down_until; /* monotonic ms */
    bool down;
};

struct directory {
    const struct config *config;
    struct source *source;
    size_t sources;
};

static bool source_open(struct source *s, const struct config *config,
                        const struct config_recipients *r)
{
    s->config = r;
    switch (r->kind) {
    case RECIPIENTS_FILE: s->at.file = file_directory_open(r->path); return s->at.any;
    case RECIPIENTS_BACKEND: s->at.backend = backend_directory_open(config); break;
    case RECIPIENTS_SOCKETMAP: s->at.socketmap = socketmap_directory_open(r); break;
    case RECIPIENTS_LDAP: s->at.ldap = ldap_directory_open(r); break;
    }
    s->cache = cache_open(CACHE_PLACES, r->cache_ms, r->negative_cache_ms);
    return s->at.any && s->cache;
}

static void source_close(struct source *s)
{
    switch (s->config->kind) {
    case RECIPIENTS_FILE: file_directory_close(s->at.file); break;
    case RECIPIENTS_BACKEND: backend_directory_close(s->at.backend); break;
    case RECIPIENTS_SOCKETMAP: socketmap_directory_close(s->at.socketmap); break;
    case RECIPIENTS_LDAP: ldap_directory_close(s->at.ldap); break;
    }
    cache_close(s->cache);
}

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
        d->sources++;
        if (!source_open(&d->source[i], config, &config->recipients[i])) {
            directory_close(d);
            return NULL;
        }
    }
    return d;
}

void directory_close(struct directory *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->sources; i++)
        source_close(&d->source[i]);
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

static void went(struct source *s, bool down, uint64_t now)
{
    static_assert((int)METRIC_DIRECTORY_DOWN_BACKEND - (int)METRIC_DIRECTORY_DOWN_FILE ==
                      (int)RECIPIENTS_BACKEND,
                  "metrics stand in the order of kinds");

    if (down)
        s->down_until = now + DOWN_MS;
    if (down == s->down)
        return;
    metric_add(METRIC_DIRECTORY_DOWN_FILE + (enum metric)s->config->kind, down ? 1 : -1);
    log_warn("directory %s is %s", config_recipients_name(s->config->kind),
             down ? "down" : "up again");
    s->down = down;
}

static enum answer_result ask_remote(struct source *s, struct span form, struct answer *out)
{
    switch (s->config->kind) {
    case RECIPIENTS_BACKEND: return backend_directory_ask(s->at.backend, form, out);
    case RECIPIENTS_SOCKETMAP: return socketmap_directory_ask(s->at.socketmap, form);
    case RECIPIENTS_LDAP: return ldap_directory_ask(s->at.ldap, form);
    case RECIPIENTS_FILE: break;
    }
    return ANSWER_LATER;
}

/* One form of one remote source: from the cache while that is fresh, from the source, and from the
 * cache again when the source cannot be asked. */
static enum answer_result ask_cached(struct source *s, struct span form, struct answer *out)
{
    uint64_t now = clock_mono_ms();
    enum answer_result r;

    if (cache_find(s->cache, form, now, false, &r))
        return r;
    if (!s->down || now >= s->down_until) {
        r = ask_remote(s, form, out);
        now = clock_mono_ms();
        went(s, r == ANSWER_LATER, now);
        cache_put(s->cache, form, now, r);
        if (r != ANSWER_LATER)
            return r;
    }
    return cache_find(s->cache, form, now, true, &r) ? r : ANSWER_LATER;
}

/* A backend sees to tags and whole domains itself, and nobody keeps "@domain" in LDAP. */
static bool wants(const struct source *s, struct span form, int number)
{
    switch (s->config->kind) {
    case RECIPIENTS_BACKEND: return number == 0;
    case RECIPIENTS_LDAP: return form.len && form.at[0] != '@';
    default: return true;
    }
}

static enum answer_result ask_source(struct source *s, const struct span *form, int forms,
                                     struct answer *out)
{
    enum answer_result result = ANSWER_NO;

    for (int i = 0; i < forms && result != ANSWER_YES; i++) {
        if (!wants(s, form[i], i))
            continue;
        enum answer_result r = s->config->kind == RECIPIENTS_FILE
                                   ? file_directory_has(s->at.file, form[i], clock_mono_ms())
                                   : ask_cached(s, form[i], out);
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
        enum answer_result r = ask_source(&d->source[i], form, forms, out);
        if (r == ANSWER_YES || r == ANSWER_OTHER) {
            out->result = (uint16_t)r;
            return;
        }
        later = later || r == ANSWER_LATER;
    }
    if (later)
        out->result = ANSWER_LATER;
}
