/* The simulator's tables: Markdown for people and documents, or (--json) an object for each table.
 *
 * A table is begun with its columns, filled cell by cell, row by row, and ended. Cells know what
 * they are, so that both forms come of one report. */
#ifndef MIRED_SIM_TABLE_H
#define MIRED_SIM_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { TABLE_COLUMNS = 9 };

struct column {
    const char *title; /* as people read it */
    const char *key;   /* as programs do */
    bool number;       /* Markdown: to the right */
};

struct table {
    bool json;
    json_t *result, *rows, *row; /* with json: all tables, this one's rows, the row being filled */
    const struct column *column;
    size_t columns, at;
};

/* Ends the line of JSON, if that is what it is. */
void table_finish(struct table *t);

void table_begin(struct table *t, const char *name, const struct column *column, size_t columns);
void table_end(struct table *t);

/* One cell each; the last one of a row ends it. */
void table_name(struct table *t, const char *name, bool again); /* again: said in the row above */
void table_text(struct table *t, const char *text);
void table_count(struct table *t, double value); /* whole, with commas */
void table_number(struct table *t, double value, int decimals, const char *unit);
void table_of(struct table *t, unsigned long count, unsigned long all);
void table_empty(struct table *t);

/* What a name in the tables means. */
void table_about(struct table *t, const char *name, const char *about);
/* An empty line between what people read. */
void table_gap(struct table *t);

#endif
