/* Tables in two forms; see table.h. */
#include "table.h"

#include <stdio.h>

void table_finish(struct table *t)
{
    if (!t->json)
        return;
    if (!t->result)
        t->result = json_object();
    json_object_set_new(t->result, "v", json_integer(1));
    json_object_set_new(t->result, "ok", json_true());
    json_dumpf(t->result, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(t->result);
    t->result = NULL;
}

void table_begin(struct table *t, const char *name, const struct column *column, size_t columns)
{
    t->column = column;
    t->columns = columns;
    t->at = 0;
    if (t->json) {
        if (!t->result)
            t->result = json_object();
        t->rows = json_array();
        t->row = json_object();
        json_object_set_new(t->result, name, t->rows);
        return;
    }
    for (size_t i = 0; i < columns; i++)
        printf("| %s ", column[i].title);
    puts("|");
    for (size_t i = 0; i < columns; i++)
        fputs(column[i].number ? "|--:" : "|---", stdout);
    puts("|");
}

void table_end(struct table *t)
{
    json_decref(t->row);
    t->row = NULL;
    table_gap(t);
}

void table_gap(struct table *t)
{
    if (!t->json)
        putchar('\n');
}

/* ---- cells ---- */

/* Takes the cell's value over. */
static void next(struct table *t, json_t *value)
{
    bool last = t->at + 1 == t->columns;

    if (t->json)
        json_object_set_new(t->row, t->column[t->at].key, value);
    else
        fputs(last ? " |\n" : " ", stdout);
    t->at = last ? 0 : t->at + 1;
    if (t->json && last) {
        json_array_append_new(t->rows, t->row);
        t->row = json_object();
    }
}

static bool begin(const struct table *t)
{
    if (!t->json)
        fputs("| ", stdout);
    return t->json;
}

void table_name(struct table *t, const char *name, bool again)
{
    if (!begin(t) && !again)
        fputs(name, stdout);
    next(t, t->json ? json_string(name) : NULL);
}

void table_text(struct table *t, const char *text)
{
    table_name(t, text, false);
}

void table_count(struct table *t, double value)
{
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", value);

    if (!begin(t))
        for (int i = 0; i < n; i++) {
            putchar(digits[i]);
            if ((n - i) % 3 == 1 && i + 1 < n)
                putchar(',');
        }
    next(t, t->json ? json_real(value) : NULL);
}

void table_number(struct table *t, double value, int decimals, const char *unit)
{
    if (!begin(t))
        printf("%.*f%s", decimals, value, unit);
    next(t, t->json ? json_real(value) : NULL);
}

void table_of(struct table *t, unsigned long count, unsigned long all)
{
    if (!begin(t))
        printf("%lu of %lu", count, all);
    next(t, t->json ? json_pack("{s:I, s:I}", "count", (json_int_t)count, "of", (json_int_t)all)
                    : NULL);
}

void table_empty(struct table *t)
{
    if (!t->json)
        putchar('|');
    next(t, t->json ? json_null() : NULL);
}

void table_about(struct table *t, const char *name, const char *about)
{
    if (!t->json) {
        printf("- **%s**: %s.\n", name, about);
        return;
    }
    json_t *all = json_object_get(t->result, "about");
    if (!all) {
        all = json_object();
        json_object_set_new(t->result, "about", all);
    }
    json_object_set_new(all, name, json_string(about));
}
