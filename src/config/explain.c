/* What an administrator probably meant: keys with a typing error or in the wrong section, and files
 * whose braces, quotes and commas do not fit (scan.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/reader.h"
#include "config/scan.h"

/* ---- shape ---- */

enum { FILE_MAX = 16 << 20 };

struct shape {
    struct reader *reader;
    const char *file;
};

static bool name_is(struct span name, const char *text)
{
    return span_equal(name, span_of(text));
}

static bool has_key(const struct key *keys, struct span name)
{
    for (; keys->name; keys++)
        if (name_is(name, keys->name))
            return true;
    return false;
}

static bool is_section(void *arg, struct span name)
{
    for (int s = 0; s < SECTION_COUNT; s++)
        if (name_is(name, sections[s].name))
            return true;
    return false;
}

static bool is_key(void *arg, struct span name)
{
    for (int s = 0; s < SECTION_COUNT; s++)
        if (has_key(sections[s].keys, name))
            return true;
    return has_key(keys_main, name);
}

static void tell(void *arg, int line, const char *text)
{
    const struct shape *shape = arg;

    reader_wrong(shape->reader, (struct place){shape->file, line}, "%s", text);
}

int explain_read(const char *file, struct buf *text)
{
    FILE *f = fopen(file, "re");
    int error = f ? 0 : -errno;

    for (size_t n = 1; !error && n > 0;) {
        char *to = text->len < FILE_MAX ? buf_room(text, 65536) : NULL;
        n = to ? fread(to, 1, 65536, f) : 0;
        text->len += (uint32_t)n;
        error = !to ? -EFBIG : ferror(f) ? -errno : 0;
    }
    if (f)
        fclose(f);
    return error;
}

unsigned explain_shape(struct reader *r, const char *file, struct span text)
{
    struct shape shape = {r, file};
    struct scan_hooks hooks = {&shape, is_section, is_key, tell};

    if (memchr(text.at, '\0', text.len)) {
        reader_wrong(r, (struct place){file, 0},
                     "contains NUL bytes: it is incomplete or not text");
        return 1;
    }
    return scan_text(text, &hooks);
}

/* ---- unknown keys ---- */

enum { NAME_MAX_LEN = 32 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters must be changed, added, removed or swapped with their neighbour to turn one text
 * into the other. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[3][NAME_MAX_LEN + 1];
    size_t na = strlen(a), nb = strlen(b);

    if (na > NAME_MAX_LEN || nb > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t k = 0; k <= nb; k++)
        row[0][k] = (unsigned)k;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *above = row[(i - 1) % 3], *two = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t k = 1; k <= nb; k++) {
            now[k] = least(above[k] + 1, now[k - 1] + 1);
            now[k] = least(now[k], above[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                now[k] = least(now[k], two[k - 2] + 1);
        }
    }
    return row[na % 3][nb];
}

struct nearest {
    const char *name;
    unsigned away;
};

static void consider(struct nearest *best, const char *word, const char *name)
{
    unsigned away = distance(word, name);

    if (away < best->away)
        *best = (struct nearest){name, away};
}

static const struct section *section_called(const char *name)
{
    for (int s = 0; s < SECTION_COUNT; s++)
        if (name && strcmp(sections[s].name, name) == 0)
            return &sections[s];
    return NULL;
}

/* The sections that have this key, as "tarpit { }" or "tls { } or web { }"; false: none. */
static bool sections_with(const char *key, char *out, size_t room)
{
    size_t n = 0;

    for (int s = 0; s < SECTION_COUNT; s++) {
        if (!has_key(sections[s].keys, span_of(key)))
            continue;
        int m = snprintf(out + n, room - n, "%s%s { }", n ? " or " : "", sections[s].name);
        n += m > 0 && (size_t)m < room - n ? (size_t)m : 0;
    }
    return n > 0;
}

const char *explain_unknown(const char *section, const char *key, char out[256])
{
    const struct section *in = section_called(section);
    const struct key *keys = in ? in->keys : keys_main;
    struct nearest best = {NULL, (unsigned)(strlen(key) + 2) / 3};
    char where[200];

    out[0] = '\0';
    if (in && has_key(keys_main, span_of(key))) {
        snprintf(out, 256, "it belongs outside of %s { }", section);
        return out;
    }
    if (sections_with(key, where, sizeof where)) {
        snprintf(out, 256, "it belongs in %s", where);
        return out;
    }
    for (best.away = best.away < 1 ? 1 : best.away > 3 ? 3 : best.away; keys->name; keys++)
        consider(&best, key, keys->name);
    for (int s = 0; !in && s < SECTION_COUNT; s++)
        consider(&best, key, sections[s].name);
    if (best.name)
        snprintf(out, 256, "did you mean %s?", best.name);
    return out;
}
