/* The schema as text; see describe.h. */
#include "config/describe.h"

#include <errno.h>
#include <string.h>

#include "config/values.h"

static bool is_quoted(enum key_type type)
{
    return type == KEY_TEXT || type == KEY_CHOICE;
}

void describe_default(const struct key *key, struct buf *out)
{
    if (key->otherwise || !key->preset)
        buf_addf(out, "(%s)", key->otherwise ? key->otherwise : "none");
    else
        buf_addf(out, is_quoted(key->type) ? "\"%s\"" : "%s", key->preset);
}

static void add_choices(const struct key *key, struct buf *out)
{
    for (int i = 0; key->choices[i]; i++)
        buf_addf(out, "%s%s", i ? ", " : "", key->choices[i]);
}

void describe_values(const struct key *key, struct buf *out)
{
    char a[32], b[32];

    switch (key->type) {
    case KEY_TEXT: buf_addf(out, "%s", key->unit ? key->unit : "text"); return;
    case KEY_TEXTS: buf_addf(out, "%s", key->unit ? key->unit : "texts"); return;
    case KEY_NETWORKS: buf_addf(out, "networks"); return;
    case KEY_BOOL: buf_addf(out, "true, false"); return;
    case KEY_CHOICE: add_choices(key, out); return;
    case KEY_DURATION:
        buf_addf(out, "%s to %s", value_duration_text(key->min, a),
                 value_duration_text(key->max, b));
        return;
    case KEY_SIZE:
        buf_addf(out, "%s to %s%s%s", value_size_text(key->min, a), value_size_text(key->max, b),
                 key->unit ? " " : "", key->unit ? key->unit : "");
        return;
    case KEY_SHARE: buf_addf(out, "%.10g%% to %.10g%%", key->min * 100, key->max * 100); return;
    case KEY_AUTO: buf_addf(out, "auto, "); break;
    default: break;
    }
    buf_addf(out, "%.10g to %.10g%s%s", key->min, key->max, key->unit ? " " : "",
             key->unit ? key->unit : "");
}

const char *describe_when(const struct key *key)
{
    return key->restart ? "start" : "reload";
}

static bool is_asked(const char *of, const char *section, const char *name)
{
    size_t len = strlen(section);

    if (!of || strcmp(of, name) == 0 || (len && strcmp(of, section) == 0))
        return true;
    return len && strncmp(of, section, len) == 0 && of[len] == '.' &&
           strcmp(of + len + 1, name) == 0;
}

static void describe_keys(const char *of, const char *section, const struct key *keys,
                          struct buf *out)
{
    for (; keys->name; keys++) {
        if (!is_asked(of, section, keys->name))
            continue;
        buf_addf(out, "%s%s%s\t", section, *section ? "." : "", keys->name);
        describe_default(keys, out);
        buf_addf(out, "\t");
        describe_values(keys, out);
        buf_addf(out, "\t%s\t%s\n", describe_when(keys), keys->help);
    }
}

int config_describe(const char *of, struct buf *out)
{
    describe_keys(of, "", keys_main, out);
    for (int s = 0; s < SECTION_COUNT; s++)
        describe_keys(of, sections[s].name, sections[s].keys, out);
    return out->len ? 0 : of ? -ENOENT : -ENOMEM;
}
