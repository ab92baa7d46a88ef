/* Accounts with allowances of their own; see allowances.h. A sorted array of the file's lines. */
#include "directory/allowances.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "directory/list_file.h"
#include "smtp/address.h"

struct line {
    struct span name; /* in the list's entries, folded */
    uint32_t per_hour, per_day;
    uint32_t number; /* in the file */
};

struct allowances {
    const struct config *config;
    struct list_file *file; /* NULL: none */
    struct line *line;      /* by name, the last of the file first */
    size_t count;
};

static int by_name(struct span a, struct span b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_line(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = by_name(x->name, y->name);

    return order ? order : (y->number > x->number) - (y->number < x->number);
}

static int by_wanted(const void *wanted, const void *line)
{
    return by_name(*(const struct span *)wanted, ((const struct line *)line)->name);
}

/* Keeps one line for each name: the last one of the file. */
static void unite(struct allowances *a)
{
    size_t kept = 0;

    for (size_t i = 0; i < a->count; i++)
        if (kept == 0 || by_name(a->line[kept - 1].name, a->line[i].name) != 0)
            a->line[kept++] = a->line[i];
    a->count = kept;
}

/* Reads the lines of the accepted version. False without memory: there are no lines then. */
static bool build(struct allowances *a)
{
    struct span entries = list_file_entries(a->file);
    size_t lines = 0;

    for (size_t i = 0; i < entries.len; i++)
        lines += entries.at[i] == '\n';
    free(a->line);
    a->count = 0;
    a->line = calloc(lines + 1, sizeof *a->line);
    while (a->line && entries.len) {
        struct span text = span_first(entries, span_find(entries, '\n'));
        struct line *l = &a->line[a->count];
        entries = span_after(entries, text.len + 1);
        if (allowance_line(text, &l->name, &l->per_hour, &l->per_day))
            l->number = (uint32_t)a->count++;
    }
    if (!a->line)
        return false;
    qsort(a->line, a->count, sizeof *a->line, by_line);
    unite(a);
    return true;
}

struct allowances *allowances_open(const struct config *config, enum list_copy how, bool confirmed)
{
    struct allowances *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->config = config;
    if (!config->allowance.file)
        return a;
    a->file = list_file_open(&list_allowances, config->allowance.file, config->state, how,
                             confirmed, clock_wall_ms());
    if (!a->file || !build(a)) {
        allowances_close(a);
        return NULL;
    }
    return a;
}

void allowances_close(struct allowances *a)
{
    if (!a)
        return;
    list_file_close(a->file);
    free(a->line);
    free(a);
}

void allowances_look(struct allowances *a, uint64_t now_ms, uint64_t wall_ms)
{
    if (a->file && list_file_look(a->file, now_ms, wall_ms))
        build(a);
}

bool allowances_has_file(const struct allowances *a)
{
    return a->file;
}

bool allowances_keeps(const struct allowances *a)
{
    return a->file && list_file_keeps(a->file);
}

bool allowances_are_on(const struct allowances *a)
{
    const struct config_allowance *c = &a->config->allowance;

    return c->per_hour || c->per_day || a->count;
}

struct allowance_rules allowances_of(const struct allowances *a, struct span account)
{
    const struct config_allowance *c = &a->config->allowance;
    struct allowance_rules r = {c->per_hour, c->per_day, c->stolen == ALLOWANCE_REFUSE};
    char folded[ALLOWANCE_NAME_MAX];

    if (a->count == 0 || account.len == 0 || account.len > sizeof folded)
        return r;
    for (size_t i = 0; i < account.len; i++) {
        char ch = account.at[i];
        folded[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
    }
    struct span name = {folded, account.len};
    const struct line *l = bsearch(&name, a->line, a->count, sizeof *a->line, by_wanted);
    if (l) {
        r.per_hour = l->per_hour;
        r.per_day = l->per_day;
    }
    return r;
}

static bool asks_backend(const struct config *c)
{
    for (size_t i = 0; i < c->auth_count; i++)
        if (c->auth[i].kind == AUTH_BACKEND)
            return true;
    return false;
}

struct span allowances_name(const struct allowances *a, struct span account,
                            char out[ALLOWANCE_NAME_MAX])
{
    const struct config *c = a->config;
    size_t at = address_sign(account);

    if (!asks_backend(c) || account.len > ALLOWANCE_NAME_MAX)
        return account;
    struct span domain = span_after(account, at + 1);
    struct span local = local_without_tag(span_first(account, at), c->recipient_delimiter);
    bool only = c->domains.count == 1 && span_equal_fold(domain, span_of(c->domains.at[0]));
    if (local.len == 0)
        return account;
    memcpy(out, local.at, local.len);
    if (at == account.len || only)
        return (struct span){out, local.len};
    out[local.len] = '@';
    memcpy(out + local.len + 1, domain.at, domain.len);
    return (struct span){out, local.len + 1 + domain.len};
}
