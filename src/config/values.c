/* Values: durations, sizes, numbers, choices, networks and lists, each checked against its key's
 * limits. */
#include "config/values.h"

#include <assert.h>
#include <idn2.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}, {"w", 604800e3}, {0}};
static const struct unit size_units[] = {
    {"K", 1024}, {"M", 1048576}, {"G", 1073741824}, {"T", 1099511627776}, {0}};

/* A plain decimal number: digits with at most one point; strtod() would take "inf" and "0x10". */
static bool number(struct span text, double *value)
{
    char copy[32];
    size_t points = 0;

    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        points += text.at[i] == '.';
        if ((text.at[i] < '0' || text.at[i] > '9') && text.at[i] != '.')
            return false;
    }
    if (points > 1 || text.at[0] == '.' || text.at[text.len - 1] == '.')
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    *value = strtod(copy, NULL);
    return true;
}

static bool with_unit(struct span text, const struct unit *units, double bare, double *value)
{
    size_t digits = 0;
    double n;

    while (digits < text.len &&
           (text.at[digits] == '.' || (text.at[digits] >= '0' && text.at[digits] <= '9')))
        digits++;
    if (!number(span_first(text, digits), &n))
        return false;
    struct span unit = span_after(text, digits);
    if (unit.len == 0) {
        *value = n * bare;
        return true;
    }
    for (; units->name; units++)
        if (span_equal(unit, span_of(units->name))) {
            *value = n * units->factor;
            return true;
        }
    return false;
}

bool config_duration(struct span text, uint64_t *ms)
{
    double v = 0;
    if (!with_unit(text, time_units, 1e3, &v) || v > 1e15)
        return false;
    *ms = (uint64_t)llround(v);
    return true;
}

bool config_size(struct span text, uint64_t *octets)
{
    double v = 0;
    if (!with_unit(text, size_units, 1, &v) || v > 1e18)
        return false;
    *octets = (uint64_t)llround(v);
    return true;
}

static const char *unit_text(double v, const struct unit *units, const char *bare, char out[32])
{
    const struct unit *best = NULL;

    for (; units->name; units++)
        if (v >= units->factor && fmod(v, units->factor) == 0 && units->name[0] != 'w') /* 7d */
            best = units;
    if (best && v > 0)
        snprintf(out, 32, "%.0f%s", v / best->factor, best->name);
    else
        snprintf(out, 32, "%.0f%s", v, bare);
    return out;
}

const char *value_duration_text(double ms, char out[32])
{
    return unit_text(ms, time_units, "", out);
}

const char *value_size_text(double octets, char out[32])
{
    return unit_text(octets, size_units, "", out);
}

bool strings_add(struct config_strings *list, const char *text)
{
    char **at = realloc(list->at, (list->count + 1) * sizeof *at);
    if (!at)
        return false;
    list->at = at;
    at[list->count] = strdup(text);
    return at[list->count] && ++list->count;
}

void strings_free(struct config_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->at[i]);
    free(list->at);
    *list = (struct config_strings){0};
}

bool networks_add(struct config_networks *list, const struct network *n)
{
    struct network *at = realloc(list->at, (list->count + 1) * sizeof *at);
    if (!at)
        return false;
    list->at = at;
    at[list->count++] = *n;
    return true;
}

/* A name of letters, digits and single hyphens within labels: libidn2 would change nothing about it
 * but its case, and takes most of the time that reading a hundred thousand names takes. */
static bool plain_domain(const char *text, char out[256])
{
    size_t len = 0, label = 0;

    for (; len < 254 && text[len]; len++) {
        char c = text[len], before = len ? text[len - 1] : '.';
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool edge = before == '.' || before == '-';
        label = c == '.' ? 0 : label + 1;
        if (label > 63 || (!letter && (edge || (c != '.' && c != '-'))))
            return false;
        out[len] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    if (len == 0 || text[len] || out[len - 1] == '-' || out[len - 1] == '.')
        return false;
    out[len] = '\0';
    return true;
}

bool value_domain(const char *text, char out[256])
{
    char *ascii = NULL;

    if (plain_domain(text, out))
        return true;
    if (*text == '\0' || strpbrk(text, " \t@/[]") ||
        idn2_to_ascii_8z(text, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK)
        return false;
    size_t len = strlen(ascii);
    bool fits = len > 0 && len < 256 && ascii[0] != '.';
    if (fits) {
        for (size_t i = 0; i <= len; i++)
            out[i] = ascii[i] >= 'A' && ascii[i] <= 'Z' ? (char)(ascii[i] + 32) : ascii[i];
        if (out[len - 1] == '.')
            out[len - 1] = '\0';
    }
    idn2_free(ascii);
    return fits;
}

const char *value_network_right(const char *text, const char *otherwise, char out[256])
{
    struct network n;
    char right[ADDR_TEXT];

    if (network_has_host_bits(span_of(text), &n))
        snprintf(out, 256, "%s, because %.80s has host bits", network_format(&n, right), text);
    else
        snprintf(out, 256, "%s", otherwise);
    return out;
}

static bool read_number(const struct key *key, void *place, const char *text, char right[256])
{
    struct span t = span_of(text);
    double v = 0;
    bool share = key->type == KEY_SHARE;

    if (key->type == KEY_AUTO && strcmp(text, "auto") == 0) {
        *(uint64_t *)place = 0;
        return true;
    }
    if (share && t.len && t.at[t.len - 1] == '%') {
        t.len--;
    } else if (share) {
        t.len = 0;
    }
    bool ok = number(t, &v);
    v = share ? v / 100 : v;
    bool whole = key->type != KEY_NUMBER && !share;
    if (!ok || (whole && v != floor(v)) || v < key->min || v > key->max) {
        if (share)
            snprintf(right, 256, "a share from %.0f%% to %.0f%%", key->min * 100, key->max * 100);
        else
            snprintf(right, 256, "%sa %snumber from %.0f to %.0f",
                     key->type == KEY_AUTO ? "auto, or " : "", whole ? "whole " : "", key->min,
                     key->max);
        return false;
    }
    if (key->type == KEY_COUNT)
        *(uint32_t *)place = (uint32_t)v;
    else if (whole)
        *(uint64_t *)place = (uint64_t)v;
    else
        *(double *)place = v;
    return true;
}

struct alias {
    const char *name;
    const char *unit;
};

/* Other names that people use for units, in lower case. */
static const struct alias time_aliases[] = {{"msec", "ms"},
                                            {"msecs", "ms"},
                                            {"millisecond", "ms"},
                                            {"milliseconds", "ms"},
                                            {"s", "s"},
                                            {"sec", "s"},
                                            {"secs", "s"},
                                            {"second", "s"},
                                            {"seconds", "s"},
                                            {"m", "m"},
                                            {"min", "m"},
                                            {"mins", "m"},
                                            {"minute", "m"},
                                            {"minutes", "m"},
                                            {"h", "h"},
                                            {"hr", "h"},
                                            {"hrs", "h"},
                                            {"hour", "h"},
                                            {"hours", "h"},
                                            {"d", "d"},
                                            {"day", "d"},
                                            {"days", "d"},
                                            {"w", "w"},
                                            {"week", "w"},
                                            {"weeks", "w"},
                                            {"ms", "ms"},
                                            {0}};
static const struct alias size_aliases[] = {
    {"b", ""},    {"byte", ""}, {"bytes", ""}, {"octets", ""}, {"k", "K"}, {"kb", "K"},
    {"kib", "K"}, {"m", "M"},   {"mb", "M"},   {"mib", "M"},   {"g", "G"}, {"gb", "G"},
    {"gib", "G"}, {"t", "T"},   {"tb", "T"},   {"tib", "T"},   {0}};

/* Writes the value with the right name of its unit, "25M" for "25MB"; false if the unit is
 * unknown. */
static bool with_meant_unit(const char *text, const struct alias *aliases, char out[64])
{
    size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits + strspn(text + digits, " \t");

    for (; digits > 0 && digits < 24 && aliases->name; aliases++)
        if (span_equal_fold(span_of(unit), span_of(aliases->name))) {
            snprintf(out, 64, "%.*s%s", (int)digits, text, aliases->unit);
            return true;
        }
    return false;
}

static bool within(const struct key *key, uint64_t value)
{
    return (double)value >= key->min && (double)value <= key->max;
}

static bool read_duration(const struct key *key, void *place, const char *text, char right[256])
{
    char a[32], b[32], meant[64];
    uint64_t ms;

    if (config_duration(span_of(text), &ms) && within(key, ms)) {
        *(uint64_t *)place = ms;
        return true;
    }
    if (with_meant_unit(text, time_aliases, meant) && config_duration(span_of(meant), &ms) &&
        within(key, ms)) {
        snprintf(right, 256, "%s", meant);
        return false;
    }
    snprintf(right, 256, "a duration from %s to %s, such as 500ms, 20s, 5m, 1h or 7d",
             value_duration_text(key->min, a), value_duration_text(key->max, b));
    return false;
}

static bool read_size(const struct key *key, void *place, const char *text, char right[256])
{
    char a[32], b[32], meant[64];
    uint64_t octets;

    if (config_size(span_of(text), &octets) && within(key, octets)) {
        *(uint64_t *)place = octets;
        return true;
    }
    if (with_meant_unit(text, size_aliases, meant) && config_size(span_of(meant), &octets) &&
        within(key, octets)) {
        snprintf(right, 256, "%s", meant);
        return false;
    }
    snprintf(right, 256, "a size from %s to %s, such as 64K, 25M or 1G",
             value_size_text(key->min, a), value_size_text(key->max, b));
    return false;
}

static bool read_choice(const struct key *key, void *place, const char *text, char right[256])
{
    size_t n = 0;

    for (int i = 0; key->choices[i]; i++) {
        if (strcmp(text, key->choices[i]) == 0) {
            *(int *)place = i;
            return true;
        }
        int m = snprintf(right + n, 256 - n, "%s%s", n ? " or " : "", key->choices[i]);
        n += m > 0 && (size_t)m < 256 - n ? (size_t)m : 0;
    }
    return false;
}

static bool read_bool(void *place, const char *text, char right[256])
{
    bool yes = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0;

    if (!yes && strcmp(text, "false") != 0 && strcmp(text, "no") != 0 && strcmp(text, "off") != 0) {
        snprintf(right, 256, "true or false");
        return false;
    }
    *(bool *)place = yes;
    return true;
}

static bool read_texts(void *place, char *const *text, size_t count)
{
    strings_free(place);
    for (size_t i = 0; i < count; i++)
        if (!strings_add(place, text[i]))
            return false;
    return true;
}

static bool read_networks(void *place, char *const *text, size_t count, char right[256])
{
    struct config_networks *list = place;
    struct network n;

    free(list->at);
    *list = (struct config_networks){0};
    for (size_t i = 0; i < count; i++) {
        if (!network_parse(span_of(text[i]), &n)) {
            char otherwise[256];
            snprintf(otherwise, sizeof otherwise,
                     "networks such as 10.0.0.0/8 or [2001:db8::]/32, not \"%.80s\"", text[i]);
            value_network_right(text[i], otherwise, right);
            return false;
        }
        if (!networks_add(list, &n))
            return false;
    }
    return true;
}

bool value_read(const struct key *key, void *base, char *const *text, size_t count, char right[256])
{
    void *place = (char *)base + key->offset;

    right[0] = '\0';
    switch (key->type) {
    case KEY_TEXTS: return read_texts(place, text, count);
    case KEY_NETWORKS: return read_networks(place, text, count, right);
    case KEY_BOOL: return read_bool(place, text[0], right);
    case KEY_CHOICE: return read_choice(key, place, text[0], right);
    case KEY_DURATION: return read_duration(key, place, text[0], right);
    case KEY_SIZE: return read_size(key, place, text[0], right);
    case KEY_TEXT: free(*(char **)place); return (*(char **)place = strdup(text[0])) != NULL;
    case KEY_COUNT:
    case KEY_LONG_COUNT:
    case KEY_NUMBER:
    case KEY_SHARE:
    case KEY_AUTO: return read_number(key, place, text[0], right);
    }
    return false;
}

bool values_preset(const struct key *keys, void *base)
{
    char right[256];

    for (; keys->name; keys++)
        if (keys->preset && !value_read(keys, base, (char *[]){(char *)keys->preset}, 1, right)) {
            assert(!right[0]); /* a default is within its bounds */
            return false;
        }
    return true;
}

bool value_copy(const struct key *key, void *to, const void *from)
{
    void *place = (char *)to + key->offset;
    const void *was = (const char *)from + key->offset;

    switch (key->type) {
    case KEY_DURATION:
    case KEY_SIZE: *(uint64_t *)place = *(const uint64_t *)was; return true;
    case KEY_TEXT:
        free(*(char **)place);
        return (*(char **)place = strdup(*(char *const *)was)) != NULL;
    default: assert(!"such a key is taken up by a reload"); return false;
    }
}

void values_free(const struct key *keys, void *base)
{
    for (; keys->name; keys++) {
        void *place = (char *)base + keys->offset;
        if (keys->type == KEY_TEXT)
            free(*(char **)place);
        else if (keys->type == KEY_TEXTS)
            strings_free(place);
        else if (keys->type == KEY_NETWORKS)
            free(((struct config_networks *)place)->at);
    }
}
