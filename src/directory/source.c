/* A source of recipients: its file, or its connections for each thread, and whether it is down.
 * Runs in clerks. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "directory/directory_part.h"
#include "directory/list_file.h"
#include "directory/remote.h"

static int describe_strings(struct buf *out, const struct config_strings *list)
{
    int error = 0;

    for (size_t i = 0; i < list->count && !error; i++)
        error = buf_addf(out, "%s\n", list->at[i]);
    return error;
}

/* Describes everything that identifies a source, so that a changed source uses no cached answers of
 * the earlier one. */
static int describe(struct buf *out, const struct config *config, const struct config_recipients *r,
                    const struct route *backends)
{
    const char *text[] = {
        config_recipients_name(r->kind), r->path, r->map, r->base, r->filter, r->bind_dn};
    int error = describe_strings(out, &r->url);

    for (size_t i = 0; i < sizeof text / sizeof text[0] && !error; i++)
        error = buf_addf(out, "%s\n", text[i] ? text[i] : "");
    for (size_t i = 0; i < backends->count && !error; i++)
        if (r->kind == RECIPIENTS_BACKEND)
            error = buf_addf(out, "%s\n", config->backend[backends->section[i]].name);
    return error;
}

static void line_close(enum recipients_kind kind, union line line)
{
    switch (kind) {
    case RECIPIENTS_FILE: break;
    case RECIPIENTS_BACKEND: backend_directory_close(line.backend); break;
    case RECIPIENTS_SOCKETMAP: socketmap_directory_close(line.socketmap); break;
    case RECIPIENTS_LDAP: ldap_directory_close(line.ldap); break;
    }
}

static union line line_open(const struct source *s, const struct directory *d)
{
    union line line = {0};

    switch (s->config->kind) {
    case RECIPIENTS_FILE: break;
    case RECIPIENTS_BACKEND:
        line.backend = backend_directory_open(d->config, &s->backends, d->addresses, s->found);
        break;
    case RECIPIENTS_SOCKETMAP: line.socketmap = socketmap_directory_open(s->config); break;
    case RECIPIENTS_LDAP: line.ldap = ldap_directory_open(s->config, s->found); break;
    }
    return line;
}

bool source_is_file(const struct source *s)
{
    return s->config->kind == RECIPIENTS_FILE;
}

/* There may be very many sources, one for each company's backends, so their lines are opened when
 * they are needed.
 * */
static bool opens_late(const struct source *s)
{
    return s->config->kind == RECIPIENTS_BACKEND;
}

static bool is_open(enum recipients_kind kind, union line line)
{
    switch (line.any ? kind : RECIPIENTS_FILE) {
    case RECIPIENTS_FILE: break;
    case RECIPIENTS_BACKEND: return backend_directory_is_open(line.backend);
    case RECIPIENTS_SOCKETMAP: return socketmap_directory_is_open(line.socketmap);
    case RECIPIENTS_LDAP: return ldap_directory_is_open(line.ldap);
    }
    return false;
}

void source_note_line(struct source *s, uint32_t asker)
{
    bool open = is_open(s->config->kind, s->line[asker]);

    if (atomic_exchange(&s->open[asker], open) != open)
        atomic_fetch_add(&s->lines, open ? 1 : UINT32_MAX);
}

void source_rest(struct source *s, uint32_t asker)
{
    union line line = s->line[asker];

    switch (line.any ? s->config->kind : RECIPIENTS_FILE) {
    case RECIPIENTS_FILE: return;
    case RECIPIENTS_BACKEND: backend_directory_rest(line.backend); break;
    case RECIPIENTS_SOCKETMAP: socketmap_directory_rest(line.socketmap); break;
    case RECIPIENTS_LDAP: ldap_directory_rest(line.ldap); break;
    }
    source_note_line(s, asker);
}

union line source_line(const struct directory *d, struct source *s, uint32_t asker)
{
    if (!s->line[asker].any)
        s->line[asker] = line_open(s, d);
    return s->line[asker];
}

static bool lines_open(struct source *s, const struct directory *d)
{
    s->line = calloc(d->threads, sizeof *s->line);
    s->open = calloc(d->threads, sizeof *s->open);
    s->found = calloc(s->config->url.count + s->backends.count + 1, sizeof *s->found);
    bool good = s->line && s->open && s->found;
    for (uint32_t i = 0; i < d->threads && good && !opens_late(s); i++) {
        s->line[i] = line_open(s, d);
        good = s->line[i].any;
    }
    return good;
}

bool source_open(struct source *s, const struct directory *d, const struct config_recipients *r,
                 const struct route *backends, bool confirmed)
{
    struct buf text = {0};

    s->config = r;
    s->backends = *backends;
    s->room = d->most;
    if (source_is_file(s))
        s->file = list_file_open(&list_recipients, r->path, d->config->state, LIST_KEEP_COPY,
                                 confirmed, clock_wall_ms());
    bool good = (source_is_file(s) ? s->file != NULL : lines_open(s, d)) &&
                describe(&text, d->config, r, backends) == 0;
    if (good)
        s->cached = (struct cache_source){.id = cache_source_id(d->cache, buf_span(&text)),
                                          .good_ms = r->cache_ms,
                                          .bad_ms = r->negative_cache_ms};
    buf_free(&text);
    return good;
}

void source_close(const struct directory *d, struct source *s)
{
    if (s->file)
        list_file_close(s->file);
    for (uint32_t i = 0; s->line && i < d->threads; i++)
        if (s->line[i].any)
            line_close(s->config->kind, s->line[i]);
    free(s->line);
    free(s->open);
    free(s->found);
    free(s->slots);
    buf_free(&s->good);
}

/* ---- up or down ---- */

void source_look(struct source *s)
{
    list_file_look(s->file, clock_mono_ms(), clock_wall_ms());
    bool kept = list_file_keeps(s->file);
    if (kept != s->kept)
        metric_add(METRIC_DIRECTORY_KEPT, kept ? 1 : -1);
    s->kept = kept;
    source_know(s, !list_file_loaded(s->file)); /* also while nobody asks */
}

void source_know(struct source *s, bool down)
{
    static_assert((int)METRIC_DIRECTORY_DOWN_BACKEND - (int)METRIC_DIRECTORY_DOWN_FILE ==
                      (int)RECIPIENTS_BACKEND,
                  "metrics stand in the order of kinds");

    if (down != s->down)
        metric_add(METRIC_DIRECTORY_DOWN_FILE + (enum metric)s->config->kind, down ? 1 : -1);
    s->down = down;
}

void source_know_down(struct source *s, struct span form)
{
    memcpy(s->probe, form.at, form.len);
    s->probe_len = form.len;
    source_know(s, true);
}

void source_was_asked(struct directory *d, struct source *s, struct span form, bool down)
{
    if (cache_source_was(d->cache, &s->cached, down, clock_wall_ms())) {
        const char *of = d->sources > 1 && s->backends.count
                             ? d->config->backend[s->backends.section[0]].name
                             : NULL;
        log_warn("directory %s%s%s%s is %s", config_recipients_name(s->config->kind),
                 of ? " (" : "", of ? of : "", of ? ")" : "", down ? "down" : "up again");
    }
    if (down)
        source_know_down(s, form);
    else
        source_know(s, false);
}

void source_took(const struct source *s, uint64_t us)
{
    static_assert((int)METRIC_TIME_DIRECTORY_BACKEND - (int)METRIC_TIME_DIRECTORY_FILE ==
                      (int)RECIPIENTS_BACKEND,
                  "metrics stand in the order of kinds");

    metric_took(METRIC_TIME_DIRECTORY_FILE + (enum metric_time)s->config->kind, us);
}
