/* Reading mired.conf: libconfuse parses, the tables of keys say what there may be, values.c reads
 * each value.
 *
 * Every value is taken from libconfuse as text, with its line, so that all wrong values can be
 * reported together and in mired's own words. Runs in the master (and `mired -t`), one reading at a
 * time, because libconfuse's callbacks have no argument for a context. */
#include <confuse.h>
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"
#include "config/scan.h"

enum { FILES_MAX = 256 };

struct note {
    const void *what; /* cfg_opt_t of a value, cfg_t of a section */
    struct place at;
};

static struct reader *reading;
static char *files[FILES_MAX]; /* the main file and what it includes, in order */
static size_t file_count;
static const char *file_now; /* libconfuse forgets the name with the next file */

/* ---- telling ---- */

static __attribute__((format(printf, 4, 0))) void tell(struct reader *r, struct place at,
                                                       const char *mark, const char *format,
                                                       va_list ap)
{
    char text[1024];

    vsnprintf(text, sizeof text, format, ap);
    if (at.line)
        (void)buf_addf(r->errors, "%s:%d: %s%s\n", at.file, at.line, mark, text);
    else
        (void)buf_addf(r->errors, "%s: %s%s\n", at.file ? at.file : r->config->file, mark, text);
}

void reader_wrong(struct reader *r, struct place at, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    tell(r, at, "", format, ap);
    va_end(ap);
    r->wrong++;
}

void reader_warn(struct reader *r, struct place at, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    tell(r, at, "warning: ", format, ap);
    va_end(ap);
}

/* `quoted` is the key as libconfuse writes it: 'KEY'. */
static void unknown_key(const cfg_t *cfg, struct place at, const char *quoted)
{
    const char *section = cfg && strcmp(cfg->name, "root") != 0 ? cfg->name : NULL;
    char key[128], hint[256];

    snprintf(key, sizeof key, "%s", quoted + (*quoted == '\''));
    key[strcspn(key, "'")] = '\0';
    explain_unknown(section, key, hint);
    if (section)
        reader_wrong(reading, at, "%s has no key %s; %s", section, key,
                     hint[0] ? hint : "mired.conf(5) lists all keys");
    else
        reader_wrong(reading, at, "unknown key %s; %s", key,
                     hint[0] ? hint : "mired.conf(5) lists all keys");
}

static __attribute__((format(printf, 2, 0))) void parse_error(cfg_t *cfg, const char *format,
                                                              va_list ap)
{
    struct place at = {file_now, cfg ? cfg->line : 0};
    char text[512];

    vsnprintf(text, sizeof text, format, ap);
    if (strncmp(text, "no such option", 14) == 0)
        unknown_key(cfg, at, text + 15);
    else
        reader_wrong(reading, at, "%s", text);
}

/* ---- lines ---- */

static int note_line(const void *what, int line)
{
    if (reading->notes && reading->note[reading->notes - 1].what == what) { /* a list goes on */
        reading->note[reading->notes - 1].at = (struct place){file_now, line};
        return 0;
    }
    struct note *note = realloc(reading->note, (reading->notes + 1) * sizeof *note);
    if (!note)
        return -1;
    reading->note = note;
    note[reading->notes++] = (struct note){what, {file_now, line}};
    return 0;
}

/* Accepts any value as text. */
static int take_text(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    *(const char **)result = value;
    return note_line(opt, cfg->line);
}

/* The first line of the section that ends at line `end`; libconfuse knows only the end. */
static int first_line(const char *file, const char *name, const char *title, int end)
{
    FILE *f = fopen(file, "re");
    char line[4096];
    int found = end;

    for (int n = 1; f && n <= end && fgets(line, sizeof line, f); n++) {
        const char *at = line + strspn(line, " \t");
        size_t len = strlen(name);
        bool begins = strncmp(at, name, len) == 0 && strchr(" \t{\"\n", at[len]);
        if (begins && (!title || strstr(at, title)))
            found = n;
    }
    if (f)
        fclose(f);
    return found;
}

/* libconfuse keeps one section of each title. There may be several directories and verifiers of one
 * kind, for other domains each: a line end and a number are added to their titles, so that they
 * differ. */
static int number_title(const cfg_opt_t *opt, cfg_t *section)
{
    bool by_kind = strcmp(opt->name, "recipients") == 0 || strcmp(opt->name, "auth") == 0;
    char *title;

    if (!by_kind)
        return 0;
    if (asprintf(&title, "%s\n%u", section->title, cfg_opt_size((cfg_opt_t *)opt)) < 0)
        return -1;
    free(section->title);
    section->title = title;
    return 0;
}

static struct span title_of(cfg_t *section)
{
    struct span title = span_of(cfg_title(section));

    return span_first(title, span_find(title, '\n'));
}

/* A section is complete. */
static int take_section(cfg_t *cfg, cfg_opt_t *opt)
{
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    int line = first_line(file_now, opt->name, cfg_title(section), section->line);

    return number_title(opt, section) == 0 ? note_line(section, line) : -1;
}

static struct place line_of(const struct reader *r, const void *what)
{
    for (size_t i = r->notes; i-- > 0;)
        if (r->note[i].what == what)
            return r->note[i].at;
    return (struct place){r->config->file, 0};
}

/* ---- include ---- */

static int include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
    char pattern[4096], copy[4096];
    glob_t found;

    if (argc != 1) {
        cfg_error(cfg, "include needs one file or pattern: include(\"conf.d/*.conf\")");
        return -1;
    }
    snprintf(copy, sizeof copy, "%s", file_now);
    if (argv[0][0] == '/')
        snprintf(pattern, sizeof pattern, "%s", argv[0]);
    else
        snprintf(pattern, sizeof pattern, "%.2000s/%.2000s", dirname(copy), argv[0]);
    int r = glob(pattern, 0, NULL, &found);
    if (r == GLOB_NOMATCH && strpbrk(argv[0], "*?["))
        return 0; /* an empty conf.d is no mistake */
    if (r != 0) {
        cfg_error(cfg, "include: \"%s\" cannot be read%s%s", pattern, r == GLOB_NOMATCH ? ": " : "",
                  r == GLOB_NOMATCH ? strerror(ENOENT) : "");
        return -1;
    }
    for (size_t i = 0; i < found.gl_pathc && file_count < FILES_MAX; i++) {
        bool seen = false;
        for (size_t k = 0; k < file_count; k++)
            seen = seen || strcmp(files[k], found.gl_pathv[i]) == 0;
        if (!seen)
            files[file_count++] = strdup(found.gl_pathv[i]);
    }
    globfree(&found);
    return 0;
}

/* ---- tables to libconfuse ---- */

static size_t key_count(const struct key *keys)
{
    size_t n = 0;
    while (keys[n].name)
        n++;
    return n;
}

static cfg_opt_t *key_options(const struct key *keys, size_t more)
{
    static const cfg_opt_t text[] = {CFG_STR_CB("", NULL, CFGF_NODEFAULT, take_text), CFG_END()};
    static const cfg_opt_t list[] = {CFG_STR_LIST_CB("", NULL, CFGF_NODEFAULT, take_text),
                                     CFG_END()};
    size_t n = key_count(keys);
    cfg_opt_t *o = calloc(n + more + 1, sizeof *o);

    if (!o)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        o[i] = keys[i].type == KEY_TEXTS || keys[i].type == KEY_NETWORKS ? list[0] : text[0];
        o[i].name = keys[i].name;
    }
    o[n + more] = text[1];
    return o;
}

struct options {
    cfg_opt_t *main;
    cfg_opt_t *section[SECTION_COUNT];
};

static bool make_options(struct options *o)
{
    size_t n = key_count(keys_main);

    o->main = key_options(keys_main, SECTION_COUNT + 1);
    if (!o->main)
        return false;
    for (int i = 0; i < SECTION_COUNT; i++) {
        o->section[i] = key_options(sections[i].keys, 0);
        if (!o->section[i])
            return false;
        cfg_opt_t plain[] = {CFG_SEC("", o->section[i], CFGF_NODEFAULT), CFG_END()};
        cfg_opt_t titled[] = {
            CFG_SEC("", o->section[i], CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES), CFG_END()};
        o->main[n + (size_t)i] = sections[i].titled ? titled[0] : plain[0];
        o->main[n + (size_t)i].name = sections[i].name;
    }
    cfg_opt_t function[] = {CFG_FUNC("include", include), CFG_END()};
    o->main[n + SECTION_COUNT] = function[0];
    return true;
}

static void free_options(struct options *o)
{
    for (int i = 0; i < SECTION_COUNT; i++)
        free(o->section[i]);
    free(o->main);
}

/* ---- from libconfuse into the configuration ---- */

static void read_value(struct reader *r, const struct key *key, cfg_opt_t *opt, void *base)
{
    unsigned count = cfg_opt_size(opt);
    struct place at = line_of(r, opt);
    char right[256] = "";

    if (count == 0 && at.line == 0)
        return; /* not set */
    if (key->later) {
        reader_wrong(r, at, "%s is not yet supported (%s)", key->name, key->later);
        return;
    }
    char **text = calloc(count + 1, sizeof *text);
    if (!text)
        return;
    for (unsigned i = 0; i < count; i++)
        text[i] = cfg_opt_getnstr(opt, i);
    bool list = key->type == KEY_TEXTS || key->type == KEY_NETWORKS;
    if ((!list && !text[0]) || !value_read(key, base, text, count, right))
        reader_wrong(r, at, "%s = \"%.80s\" is not valid; expected %s", key->name,
                     text[0] ? text[0] : "", right[0] ? right : "a text");
    free(text);
}

static void read_keys(struct reader *r, cfg_t *cfg, const struct key *keys, void *base,
                      struct place *places)
{
    for (size_t i = 0; keys[i].name; i++) {
        cfg_opt_t *opt = cfg_getopt(cfg, keys[i].name);
        places[i] = line_of(r, opt);
        read_value(r, &keys[i], opt, base);
    }
}

static bool make_room(struct config *c, enum section_kind s, size_t n)
{
    switch (s) {
    case SECTION_LISTEN:
        c->listen_count = n;
        return (c->listen = calloc(n + 1, sizeof *c->listen)) != NULL;
    case SECTION_RECIPIENTS:
        c->recipients_count = n;
        return (c->recipients = calloc(n + 1, sizeof *c->recipients)) != NULL;
    case SECTION_AUTH: c->auth_count = n; return (c->auth = calloc(n + 1, sizeof *c->auth)) != NULL;
    case SECTION_BACKEND:
        c->backend_count = n;
        return (c->backend = calloc(n + 1, sizeof *c->backend)) != NULL;
    case SECTION_DNSBL:
        c->dnsbl_count = n;
        return (c->dnsbl = calloc(n + 1, sizeof *c->dnsbl)) != NULL;
    case SECTION_DNSWL:
        c->dnswl_count = n;
        return (c->dnswl = calloc(n + 1, sizeof *c->dnswl)) != NULL;
    default: return true;
    }
}

void *config_section(struct config *c, enum section_kind s, size_t i)
{
    switch (s) {
    case SECTION_LISTEN: return &c->listen[i];
    case SECTION_TLS: return &c->tls;
    case SECTION_RECIPIENTS: return &c->recipients[i];
    case SECTION_AUTH: return &c->auth[i];
    case SECTION_BACKEND: return &c->backend[i];
    case SECTION_DNSBL: return &c->dnsbl[i];
    case SECTION_DNSWL: return &c->dnswl[i];
    case SECTION_FLEET: return &c->fleet;
    default: return c;
    }
}

static bool begin_section(struct reader *r, enum section_kind s, size_t i, struct span title)
{
    char text[512];

    if (title.len >= sizeof text) {
        reader_wrong(r, r->section[s][i], "the title of this %s is too long", sections[s].name);
        return false;
    }
    snprintf(text, sizeof text, "%.*s", (int)title.len, title.len ? title.at : "");
    return values_preset(sections[s].keys, config_section(r->config, s, i)) &&
           reader_begin_section(r, s, i, text);
}

static bool read_sections(struct reader *r, cfg_t *cfg)
{
    for (int s = 0; s < SECTION_COUNT; s++) {
        size_t n = cfg_size(cfg, sections[s].name);
        r->section[s] = calloc(n + 1, sizeof **r->section);
        r->value[s] = calloc(n + 1, sizeof **r->value);
        if (!r->section[s] || !r->value[s] || !make_room(r->config, (enum section_kind)s, n))
            return false;
        for (size_t i = 0; i < n; i++) {
            cfg_t *sec = cfg_getnsec(cfg, sections[s].name, (unsigned)i);
            r->section[s][i] = line_of(r, sec);
            r->value[s][i] = calloc(key_count(sections[s].keys) + 1, sizeof(struct place));
            if (!r->value[s][i])
                return false;
            if (sections[s].later)
                reader_wrong(r, r->section[s][i], "%s is not yet supported (%s)", sections[s].name,
                             sections[s].later);
            else if (begin_section(r, (enum section_kind)s, i, title_of(sec)))
                read_keys(r, sec, sections[s].keys,
                          config_section(r->config, (enum section_kind)s, i), r->value[s][i]);
            else
                r->section[s][i] = (struct place){0}; /* reported already: skip all checks of it */
        }
    }
    return true;
}

/* ---- reading ---- */

/* libconfuse stops at the first unexpected word, which may be far after the mistake, and it accepts
 * a file with an open brace at the end. So the form of the file is checked first. */
static bool parse_file(struct reader *r, cfg_t *cfg, const char *file)
{
    struct buf text = {0};
    int error = explain_read(file, &text);
    bool good = false;

    if (error)
        reader_wrong(r, (struct place){file, 0}, "cannot be read: %s", strerrordesc_np(-error));
    else if (text.len == 0)
        good = true;
    else if (explain_shape(r, file, buf_span(&text)) == 0) {
        scan_blank_comments(text.at, text.len);
        good = buf_add(&text, "", 1) == 0 && cfg_parse_buf(cfg, text.at) == CFG_SUCCESS;
    }
    buf_free(&text);
    return good;
}

static bool parse_files(struct reader *r, cfg_t *cfg)
{
    for (size_t i = 0; i < file_count; i++) {
        file_now = files[i];
        if (!parse_file(r, cfg, files[i]))
            return false;
    }
    return true;
}

static void read_all(struct reader *r)
{
    struct options options = {0};
    cfg_t *cfg = make_options(&options) ? cfg_init(options.main, CFGF_NONE) : NULL;

    reading = r;
    file_count = 0;
    files[file_count++] = strdup(r->config->file);
    if (!cfg) {
        reader_wrong(r, (struct place){0}, "no memory");
    } else {
        cfg_set_error_function(cfg, parse_error);
        for (int i = 0; i < SECTION_COUNT; i++)
            cfg_set_validate_func(cfg, sections[i].name, take_section);
        if (parse_files(r, cfg)) {
            read_keys(r, cfg, keys_main, r->config, r->main);
            if (read_sections(r, cfg))
                config_check(r);
        } else if (r->wrong == 0) {
            reader_wrong(r, (struct place){0}, "cannot be parsed");
        }
        cfg_free(cfg);
    }
    while (file_count)
        free(files[--file_count]);
    free_options(&options);
    reading = NULL;
}

static void reader_free(struct reader *r)
{
    for (int s = 0; s < SECTION_COUNT; s++) {
        for (size_t i = 0; r->value[s] && r->value[s][i]; i++)
            free(r->value[s][i]);
        free(r->value[s]);
        free(r->section[s]);
    }
    free(r->note);
}

int config_read(const char *path, struct config **config, struct buf *errors)
{
    struct reader r = {.config = config_defaults(path), .errors = errors};

    if (!r.config)
        return -1;
    read_all(&r);
    reader_free(&r);
    if (r.wrong) {
        config_free(r.config);
        return -1;
    }
    *config = r.config;
    return 0;
}

static struct place key_place(const struct key *keys, const struct place *places, const char *name)
{
    for (size_t i = 0; keys[i].name; i++)
        if (strcmp(keys[i].name, name) == 0)
            return places[i];
    return (struct place){0};
}

struct place reader_place(const struct reader *r, enum section_kind s, size_t number,
                          const char *key)
{
    struct place at = key_place(sections[s].keys, r->value[s][number], key);
    return at.line ? at : r->section[s][number];
}

bool reader_is_set(const struct reader *r, enum section_kind s, size_t number, const char *key)
{
    return key_place(sections[s].keys, r->value[s][number], key).line != 0;
}

struct place reader_main(const struct reader *r, const char *key)
{
    return key_place(keys_main, r->main, key);
}
