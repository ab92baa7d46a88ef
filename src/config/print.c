/* Turns the values of the configuration back into text, with the tables by which it was read
 * (keys.h). */
#include "config/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/reader.h"

static void print_text(struct buf *out, const char *text)
{
    (void)buf_add(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            (void)buf_add(out, "\\", 1);
        (void)buf_add(out, text, 1);
    }
    (void)buf_add(out, "\"", 1);
}

static void print_texts(struct buf *out, const struct config_strings *list,
                        const struct config_networks *networks)
{
    char text[ADDR_TEXT];
    size_t n = 0;

    buf_addf(out, "{");
    for (size_t i = 0; networks && i < networks->count; i++)
        buf_addf(out, "%s\"%s\"", n++ ? ", " : " ", network_format(&networks->at[i], text));
    for (size_t i = 0; list && i < list->count; i++) {
        buf_addf(out, n++ ? ", " : " ");
        print_text(out, list->at[i]);
    }
    buf_addf(out, " }");
}

/* TLS 1.2 and 1.3 are stored as 12 and 13, not as their index among the choices. */
static int choice_of(const struct key *key, int value)
{
    return value == 12 || value == 13 ? value - 12 : value;
}

/* Prints the value of a key; false if it has none. */
static bool print_value(struct buf *out, const struct config *c, const struct key *key,
                        const void *base)
{
    const void *at = (const char *)base + key->offset;
    char text[32];

    switch (key->type) {
    case KEY_TEXT:
        if (!*(char *const *)at)
            return false;
        print_text(out, *(char *const *)at);
        break;
    case KEY_TEXTS:
        print_texts(out, at, at == (const void *)&c->exempt_names ? &c->exempt : NULL);
        break;
    case KEY_NETWORKS: print_texts(out, NULL, at); break;
    case KEY_BOOL: buf_addf(out, *(const bool *)at ? "true" : "false"); break;
    case KEY_CHOICE: buf_addf(out, "\"%s\"", key->choices[choice_of(key, *(const int *)at)]); break;
    case KEY_COUNT: buf_addf(out, "%u", *(const uint32_t *)at); break;
    case KEY_AUTO:
        if (*(const uint64_t *)at == 0) {
            buf_addf(out, "auto");
            break;
        }
        buf_addf(out, "%llu", (unsigned long long)*(const uint64_t *)at);
        break;
    case KEY_LONG_COUNT: buf_addf(out, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case KEY_NUMBER: buf_addf(out, "%.10g", *(const double *)at); break;
    case KEY_SHARE: buf_addf(out, "%.10g%%", *(const double *)at * 100); break;
    case KEY_DURATION:
        buf_addf(out, "%s", value_duration_text((double)*(const uint64_t *)at, text));
        break;
    case KEY_SIZE: buf_addf(out, "%s", value_size_text((double)*(const uint64_t *)at, text)); break;
    }
    return true;
}

/* Copies the values of those `keys` that are texts, numbers or times from `from` to `to`. */
static bool keep_keys(const struct key *keys, struct config *to, const struct config *from,
                      void (*told)(const char *key, const char *keeps))
{
    bool room = true;

    for (; keys->name; keys++) {
        struct buf was = {0}, now = {0};
        if (!keys->restart || !print_value(&was, from, keys, from))
            continue;
        print_value(&now, to, keys, to);
        room = room && buf_add(&was, "", 1) == 0 && buf_add(&now, "", 1) == 0;
        if (room && strcmp(was.at, now.at) != 0) {
            room = value_copy(keys, to, from);
            if (told)
                told(keys->name, was.at);
        }
        buf_free(&was);
        buf_free(&now);
    }
    return room;
}

bool config_keep_fixed(struct config *to, const struct config *from,
                       void (*told)(const char *key, const char *keeps))
{
    return keep_keys(keys_main, to, from, told) && keep_keys(keys_tarpit, to, from, told);
}

/* `usual` is the same struct with all defaults, or NULL. */
static void print_keys(struct buf *out, const struct config *c, const struct key *keys,
                       const void *base, const struct config *usual, const char *indent)
{
    for (; keys->name; keys++) {
        struct buf value = {0}, other = {0};
        if (!keys->later && print_value(&value, c, keys, base)) {
            bool same = usual && print_value(&other, usual, keys, usual) &&
                        span_equal(buf_span(&value), buf_span(&other));
            buf_addf(out, "%s%s = %.*s%s\n", indent, keys->name, (int)value.len, value.at,
                     same ? "  # default" : "");
        }
        buf_free(&value);
        buf_free(&other);
    }
}

static size_t section_count(const struct config *c, enum section_kind s)
{
    switch (s) {
    case SECTION_LISTEN: return c->listen_count;
    case SECTION_TLS: return c->tls.certificate.count > 0;
    case SECTION_RECIPIENTS: return c->recipients_count;
    case SECTION_AUTH: return c->auth_count;
    case SECTION_BACKEND: return c->backend_count;
    case SECTION_DNSBL: return c->dnsbl_count;
    case SECTION_DNSWL: return c->dnswl_count;
    case SECTION_WEB: return c->web_listen.count > 0;
    case SECTION_FLEET: return c->fleet.redis.count > 0;
    default: return 1;
    }
}

/* Prints the title of a section, which follows its name. */
static void print_title(struct buf *out, const struct config *c, enum section_kind s, size_t i)
{
    char text[ADDR_TEXT];
    const struct addr *a;

    switch (s) {
    case SECTION_LISTEN:
        a = &c->listen[i].addr;
        buf_addf(out, a->family == ADDR_IP6 ? " \"[%s]:%u\"" : " \"%s:%u\"", addr_format(a, text),
                 a->port);
        break;
    case SECTION_RECIPIENTS:
        buf_addf(out, " \"%s\"", config_recipients_name(c->recipients[i].kind));
        break;
    case SECTION_AUTH: buf_addf(out, " \"%s\"", config_auth_name(c->auth[i].kind)); break;
    case SECTION_BACKEND: buf_addf(out, " \"%s\"", c->backend[i].name); break;
    case SECTION_DNSBL: buf_addf(out, " \"%s\"", c->dnsbl[i].zone); break;
    case SECTION_DNSWL: buf_addf(out, " \"%s\"", c->dnswl[i].zone); break;
    default: break;
    }
}

int config_print(const struct config *c, struct buf *out)
{
    struct config *usual = config_defaults(c->file);

    if (!usual)
        return -ENOMEM;
    print_keys(out, c, keys_main, c, usual, "");
    for (int s = 0; s < SECTION_COUNT; s++) {
        enum section_kind kind = (enum section_kind)s;
        for (size_t i = 0; !sections[s].later && i < section_count(c, kind); i++) {
            buf_addf(out, "\n%s", sections[s].name);
            print_title(out, c, kind, i);
            buf_addf(out, " {\n");
            print_keys(out, c, sections[s].keys, config_section((struct config *)c, kind, i),
                       s == SECTION_TARPIT ? usual : NULL, "    ");
            buf_addf(out, "}\n");
        }
    }
    config_free(usual);
    return out->at ? 0 : -ENOMEM;
}
