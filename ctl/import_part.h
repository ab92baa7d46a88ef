/* Private to import*.c: what is being gathered, and tools for reading. */
#ifndef MIRED_CTL_IMPORT_PART_H
#define MIRED_CTL_IMPORT_PART_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"

struct import {
    json_t *lines;
    int found;                  /* settings that were understood */
    bool timed;                 /* a delay was found: the longest is taken */
    unsigned long seconds;      /* of it */
    struct buf exempt, domains; /* lists, as they stand between braces */
};

/* A note; or a line of mired.conf with its reason. Both in printf's way. What comes from the text
 * is cleaned of all that could end a comment. */
void import_note(struct import *im, const char *reason, ...) __attribute__((format(printf, 2, 3)));
void import_set(struct import *im, const char *reason, const char *setting, ...)
    __attribute__((format(printf, 3, 4)));

/* A delay of so many seconds, which `from` was called there. */
void import_time(struct import *im, const char *from, unsigned long seconds);

/* The words of a list, in braces perhaps: networks for `exempt`, domains for `domains`. Others are
 * named in a note. */
void import_exempt(struct import *im, struct span list);
void import_domains(struct import *im, struct span list);

/* Ends with what was gathered. */
void import_end(struct import *im);

/* The three kinds of text. */
void import_registry(struct import *im, struct span text);
void import_exchange(struct import *im, struct span text);
void import_postfix(struct import *im, struct span text);

/* ---- reading ---- */

/* The first line of *rest, trimmed, and *rest without it. */
struct span import_line(struct span *rest);

/* The first word of *list, up to a separator; empty at the end. */
struct span import_word(struct span *list, const char *separators);

/* "NAME <sep> VALUE": *value is VALUE, trimmed. */
bool import_is(struct span line, const char *name, char separator, struct span *value);

bool import_contains(struct span text, const char *words);
unsigned long import_number(struct span text, int base);

/* Whether it may stand between quotes in mired.conf as it is. */
bool import_is_plain(struct span text);
bool import_is_domain(struct span text);

#endif
