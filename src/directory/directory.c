/* The directories in order, and the forms of an address that each is asked for. Runs in clerks.
 *
 * user+tag@domain is asked for as it stands, without its tag, and as @domain. The first source that
 * knows one of them wins. One that cannot tell makes the whole answer "later" unless another one
 * knows: a directory that is down must never turn a recipient into an unknown one.
 *
 * What a remote source said is remembered in the cache that all clerks share (cache.h), form by
 * form. There stands as well whether it is down: then no question waits for it, and one clerk at a
 * time tries whether it is up again, however long that takes. */
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

enum { LOOK_AFTER_MS = 250 };

struct source {
    const struct config_recipients *config;
    union { /* by config->kind */
        struct file_directory *file;
        struct backend_directory *backend;
        struct socketmap_directory *socketmap;
        struct ldap_directory *ldap;
        void *any;
    } at;
    struct cache_source cached;
    bool down;                /* as this clerk knows it; the cache knows better */
    char probe[ASK_TEXT_MAX]; /* what it was asked for when it could not be */
    size_t probe_len;
};

struct directory {
    const struct config *config;
    struct cache *cache; /* a file needs none */
    struct source *source;
    size_t sources;
    struct source *due; /* NULL, or who is to be asked anew for `form` */
    char form[ASK_TEXT_MAX];
    size_t form_len;
};

static int describe_strings(struct buf *out, const struct config_strings *list)
{
    int error = 0;

    for (size_t i = 0; i < list->count && !error; i++)
        error = buf_addf(out, "%s\n", list->at[i]);
    return error;
}

/* All that makes the source another one, so that nothing is remembered of the one before. */
static int describe(struct buf *out, const struct config *config, const struct config_recipients *r)
{
    const char *text[] = {
        config_recipients_name(r->kind), r->path, r->map, r->base, r->filter, r->bind_dn};
    int error = describe_strings(out, &r->url);

    for (size_t i = 0; i < sizeof text / sizeof text[0] && !error; i++)
        error = buf_addf(out, "%s\n", text[i] ? text[i] : "");
    for (size_t i = 0; i < config->backend_count && !error; i++)
        if (r->kind == RECIPIENTS_BACKEND)
            error = buf_addf(out, "%s\n", config->backend[i].name);
    return error;
}

static bool source_open(struct source *s, const struct directory *d, const struct places *places,
                        const struct config_recipients *r)
{
    struct buf text = {0};

    s->config = r;
    switch (r->kind) {
    case RECIPIENTS_FILE: s->at.file = file_directory_open(r->path); break;
    case RECIPIENTS_BACKEND: s->at.backend = backend_directory_open(d->config, places); break;
    case RECIPIENTS_SOCKETMAP: s->at.socketmap = socketmap_directory_open(r); break;
    case RECIPIENTS_LDAP: s->at.ldap = ldap_directory_open(r); break;
    }
    bool good = s->at.any && describe(&text, d->config, r) == 0;
    if (good)
        s->cached = (struct cache_source){.id = cache_source_id(d->cache, buf_span(&text)),
                                          .good_ms = r->cache_ms,
                                          .bad_ms = r->negative_cache_ms};
    buf_free(&text);
    return good;
}

static void source_close(struct source *s)
{
    switch (s->config->kind) {
    case RECIPIENTS_FILE: file_directory_close(s->at.file); break;
    case RECIPIENTS_BACKEND: backend_directory_close(s->at.backend); break;
    case RECIPIENTS_SOCKETMAP: socketmap_directory_close(s->at.socketmap); break;
    case RECIPIENTS_LDAP: ldap_directory_close(s->at.ldap); break;
    }
}

struct directory *directory_open(const struct config *config, struct cache *cache,
                                 const struct places *places)
{
    struct directory *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->config = config;
    d->cache = cache;
    d->source = calloc(config->recipients_count + 1, sizeof *d->source);
    if (!d->source) {
        free(d);
        return NULL;
    }
    for (size_t i = 0; i < config->recipients_count; i++) {
        d->sources++;
        if (!source_open(&d->source[i], d, places, &config->recipients[i])) {
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

/* A local part that a server behind may read as a route to another domain: a directory must name
 * the very address, and the backend is not asked, for it would take it. */
static bool is_route(const struct directory *d, struct span address)
{
    return !d->config->routing_addresses &&
           local_is_routing(span_first(address, address_sign(address)));
}

/* The forms under which an address may stand in a directory; returns how many. */
static int make_forms(const struct directory *d, struct span address, char *room,
                      struct span form[FORMS])
{
    size_t sign = address_sign(address);
    int n = 0;

    form[n++] = address;
    if (sign == address.len || is_route(d, address))
        return n;
    struct span local = span_first(address, sign);
    struct span domain = span_after(address, sign); /* with its @ */
    struct span bare = local_without_tag(local, d->config->recipient_delimiter);
    if (bare.len < local.len) {
        memcpy(room, bare.at, bare.len);
        memcpy(room + bare.len, domain.at, domain.len);
        form[n++] = (struct span){room, bare.len + domain.len};
    }
    form[n++] = domain;
    return n;
}

/* ---- one source ---- */

/* Up or down, as far as this clerk's gauge goes. */
static void know(struct source *s, bool down)
{
    static_assert((int)METRIC_DIRECTORY_DOWN_BACKEND - (int)METRIC_DIRECTORY_DOWN_FILE ==
                      (int)RECIPIENTS_BACKEND,
                  "metrics stand in the order of kinds");

    if (down != s->down)
        metric_add(METRIC_DIRECTORY_DOWN_FILE + (enum metric)s->config->kind, down ? 1 : -1);
    s->down = down;
}

/* It could not be asked for `form`, and will be tried with it. */
static void know_down(struct source *s, struct span form)
{
    memcpy(s->probe, form.at, form.len);
    s->probe_len = form.len;
    know(s, true);
}

static void was_asked(struct directory *d, struct source *s, struct span form, bool down)
{
    if (cache_source_was(d->cache, &s->cached, down, clock_wall_ms()))
        log_warn("directory %s is %s", config_recipients_name(s->config->kind),
                 down ? "down" : "up again");
    if (down)
        know_down(s, form);
    else
        know(s, false);
}

static enum answer_result ask_kind(struct source *s, struct span form, struct answer *out)
{
    switch (s->config->kind) {
    case RECIPIENTS_FILE: return file_directory_has(s->at.file, form, clock_mono_ms());
    case RECIPIENTS_BACKEND: return backend_directory_ask(s->at.backend, form, out);
    case RECIPIENTS_SOCKETMAP: return socketmap_directory_ask(s->at.socketmap, form);
    case RECIPIENTS_LDAP: return ldap_directory_ask(s->at.ldap, form);
    }
    return ANSWER_SILENCE;
}

static enum answer_result ask_itself(struct source *s, struct span form, struct answer *out)
{
    static_assert((int)METRIC_TIME_DIRECTORY_BACKEND - (int)METRIC_TIME_DIRECTORY_FILE ==
                      (int)RECIPIENTS_BACKEND,
                  "metrics stand in the order of kinds");
    uint64_t begun = clock_mono_us();
    enum answer_result r = ask_kind(s, form, out);

    metric_took(METRIC_TIME_DIRECTORY_FILE + (enum metric_time)s->config->kind,
                clock_mono_us() - begun);
    return r;
}

/* Asks a source that may be asked now, and remembers what came of it. */
static enum answer_result ask_anew(struct directory *d, struct source *s, struct span form,
                                   struct answer *out)
{
    enum answer_result r = ask_itself(s, form, out);

    cache_put(d->cache, &s->cached, form, clock_wall_ms(), r);
    was_asked(d, s, form, r == ANSWER_SILENCE);
    return r == ANSWER_SILENCE ? ANSWER_LATER : r;
}

static void note_due(struct directory *d, struct source *s, struct span form, uint64_t now)
{
    if (d->due || !cache_claim(d->cache, &s->cached, form, now))
        return;
    memcpy(d->form, form.at, form.len);
    d->form_len = form.len;
    d->due = s;
}

void directory_renew(struct directory *d)
{
    struct answer unused = {0};
    struct source *s = d->due;

    d->due = NULL;
    if (s && !cache_is_down(d->cache, &s->cached))
        (void)ask_anew(d, s, (struct span){d->form, d->form_len}, &unused);
}

int directory_look_after(struct directory *d)
{
    struct answer unused = {0};
    bool down = false;

    for (struct source *s = d->source; s < d->source + d->sources; s++) {
        if (!s->down || s->config->kind == RECIPIENTS_FILE)
            continue;
        if (!cache_is_down(d->cache, &s->cached))
            know(s, false); /* another clerk has found out */
        else if (cache_may_try(d->cache, &s->cached, clock_wall_ms()))
            (void)ask_anew(d, s, (struct span){s->probe, s->probe_len}, &unused);
        down = down || s->down;
    }
    return down ? LOOK_AFTER_MS : -1;
}

/* One form of one remote source: from the cache while that is fresh, else from the source. When
 * that cannot tell, who was known to exist still does; but nobody is refused for an old answer. */
static enum answer_result ask_cached(struct directory *d, struct source *s, struct span form,
                                     struct answer *out)
{
    uint64_t now = clock_wall_ms();
    enum answer_result known = ANSWER_LATER, r = ANSWER_LATER;
    enum cache_age age = cache_find(d->cache, &s->cached, form, now, &known);

    if (age == CACHE_DUE)
        note_due(d, s, form, now);
    if (age == CACHE_FRESH || age == CACHE_DUE)
        return known;
    if (cache_is_down(d->cache, &s->cached))
        know_down(s, form);
    else
        r = ask_anew(d, s, form, out);
    return r == ANSWER_LATER && age == CACHE_OLD && known == ANSWER_YES ? ANSWER_YES : r;
}

static enum answer_result ask_file(struct source *s, struct span form, struct answer *out)
{
    enum answer_result r = ask_itself(s, form, out);

    know(s, r == ANSWER_LATER);
    return r;
}

/* ---- all of them ---- */

/* A backend sees to tags and whole domains itself, and nobody keeps "@domain" in LDAP. */
static bool wants(const struct source *s, struct span form, int number)
{
    switch (s->config->kind) {
    case RECIPIENTS_BACKEND: return number == 0;
    case RECIPIENTS_LDAP: return form.len && form.at[0] != '@';
    default: return true;
    }
}

static enum answer_result ask_source(struct directory *d, struct source *s, const struct span *form,
                                     int forms, struct answer *out)
{
    enum answer_result result = ANSWER_NO;

    for (int i = 0; i < forms && result != ANSWER_YES; i++) {
        if (!wants(s, form[i], i))
            continue;
        enum answer_result r = s->config->kind == RECIPIENTS_FILE ? ask_file(s, form[i], out)
                                                                  : ask_cached(d, s, form[i], out);
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
        out->result = is_route(d, address) ? ANSWER_NO : ANSWER_YES;
        return;
    }
    if (address.len > sizeof room)
        return;
    int forms = make_forms(d, address, room, form);
    for (size_t i = 0; i < d->sources; i++) {
        if (d->source[i].config->kind == RECIPIENTS_BACKEND && is_route(d, address))
            continue;
        out->source = (uint8_t)i;
        enum answer_result r = ask_source(d, &d->source[i], form, forms, out);
        if (r == ANSWER_YES || r == ANSWER_OTHER) {
            out->result = (uint16_t)r;
            return;
        }
        later = later || r == ANSWER_LATER;
    }
    if (later)
        out->result = ANSWER_LATER;
}
