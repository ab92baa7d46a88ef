/* The schema and docs/configuration.md say the same of each key: default, bounds, unit, and when a
 * change is taken up. Issue 14, proof 4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/describe.h"
#include "config/reader.h"

static char *read_document(void)
{
    FILE *f = fopen(SOURCE_ROOT "/docs/configuration.md", "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

/* The part of the document below `heading`, up to the next one of its kind. */
static struct span part_of(const char *document, const char *heading)
{
    const char *at = strstr(document, heading);

    assert_non_null(at);
    const char *end = strstr(at + strlen(heading), "\n## ");
    return (struct span){at, end ? (size_t)(end - at) : strlen(at)};
}

/* The cells of the table that come from the schema. */
static void make_row(const struct key *key, struct buf *row)
{
    struct buf preset = {0};

    describe_default(key, &preset);
    buf_addf(row, "\n| `%s` | ", key->name);
    if (preset.at[0] == '(')
        buf_addf(row, "%.*s | ", (int)preset.len - 2, preset.at + 1);
    else
        buf_addf(row, "`%.*s` | ", (int)preset.len, preset.at);
    describe_values(key, row);
    buf_addf(row, "%s | ", key->restart ? "; from the next start" : "");
    buf_free(&preset);
}

static unsigned compare(const char *document, const char *heading, const struct key *keys)
{
    struct span part = part_of(document, heading);
    unsigned count = 0;

    for (; keys->name; keys++, count++) {
        struct buf row = {0};
        make_row(keys, &row);
        if (!memmem(part.at, part.len, row.at, row.len))
            fail_msg("%s: docs/configuration.md has no row %.*s; run scripts/key-tables",
                     keys->name, (int)row.len - 1, row.at + 1);
        buf_free(&row);
    }
    return count;
}

/* Rows below the table's head. */
static unsigned rows_of(const char *document, const char *heading)
{
    static const char head[] = "\n| key | default | values | what it is |\n|---|---|---|---|\n";
    struct span part = part_of(document, heading);
    const char *at = memmem(part.at, part.len, head, sizeof head - 1);
    unsigned count = 0;

    assert_non_null(at);
    for (at += sizeof head - 1; *at == '|'; at += strcspn(at, "\n") + 1)
        count++;
    return count;
}

static void test_the_document_agrees_on_every_default_bound_and_unit(void **state)
{
    char *document = read_document();

    assert_int_equal(compare(document, "\n## General", keys_main),
                     rows_of(document, "\n## General"));
    for (int s = 0; s < SECTION_COUNT; s++) {
        char heading[64];
        snprintf(heading, sizeof heading, "\n## `%s`", sections[s].name);
        assert_int_equal(compare(document, heading, sections[s].keys), rows_of(document, heading));
    }
    free(document);
}

static void test_each_default_is_a_value_that_the_key_takes(void **state)
{
    for (int s = -1; s < SECTION_COUNT; s++)
        for (const struct key *k = s < 0 ? keys_main : sections[s].keys; k->name; k++) {
            union {
                char *text;
                double number;
                uint64_t count;
            } value = {0};
            struct key here = *k;
            char right[256];
            here.offset = 0;
            if (k->preset && !value_read(&here, &value, (char *[]){(char *)k->preset}, 1, right))
                fail_msg("%s: %s; expected %s", k->name, k->preset, right);
            if (k->preset && k->type == KEY_TEXT)
                free(value.text);
        }
}

static void test_each_key_has_one_line_of_help(void **state)
{
    struct buf text = {0};
    unsigned count = 0;

    assert_int_equal(config_describe(NULL, &text), 0);
    for (struct span rest = buf_span(&text); rest.len; count++) {
        struct span line = span_first(rest, span_find(rest, '\n'));
        unsigned tabs = 0;
        rest = span_after(rest, line.len + 1);
        for (size_t i = 0; i < line.len; i++)
            tabs += line.at[i] == '\t';
        assert_int_equal(tabs, 4);
        assert_true(line.at[line.len - 1] != '\t' && line.len < 200);
    }
    assert_true(count > 70);
    buf_free(&text);
}

static unsigned described(const char *of, struct buf *text)
{
    unsigned lines = 0;

    buf_free(text);
    if (config_describe(of, text) < 0)
        return 0;
    for (uint32_t i = 0; i < text->len; i++)
        lines += text->at[i] == '\n';
    return lines;
}

static void test_a_section_and_a_key_can_be_asked_for(void **state)
{
    struct buf text = {0};
    unsigned of_tarpit = 0;

    while (keys_tarpit[of_tarpit].name)
        of_tarpit++;
    assert_int_equal(described("tarpit", &text), of_tarpit);
    assert_int_equal(described("tarpit.time", &text), 1);
    assert_memory_equal(text.at, "tarpit.time\t20s\t", 16);
    assert_int_equal(described("hostname", &text), 1);
    assert_true(described("listen", &text) > 1); /* web.listen is one, too */
    assert_int_equal(described("tarpit.", &text), 0);
    assert_int_equal(described("tarpit.none", &text), 0);
    assert_int_equal(described(".hostname", &text), 0);
    assert_int_equal(described("", &text), 0);
    buf_free(&text);
}

/* What a reload keeps is copied by value_copy(), which knows these types. */
static void test_keys_of_the_next_start_are_texts_durations_or_sizes(void **state)
{
    for (int s = -1; s < SECTION_COUNT; s++)
        for (const struct key *k = s < 0 ? keys_main : sections[s].keys; k->name; k++)
            if (k->restart) {
                assert_true(k->type == KEY_TEXT || k->type == KEY_DURATION || k->type == KEY_SIZE);
                assert_true(s == -1 || s == SECTION_TARPIT);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_document_agrees_on_every_default_bound_and_unit),
        cmocka_unit_test(test_each_default_is_a_value_that_the_key_takes),
        cmocka_unit_test(test_a_section_and_a_key_can_be_asked_for),
        cmocka_unit_test(test_each_key_has_one_line_of_help),
        cmocka_unit_test(test_keys_of_the_next_start_are_texts_durations_or_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
