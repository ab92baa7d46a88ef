/* One reading of mired.conf: what its parts share. Private to src/config. */
#ifndef MIRED_CONFIG_READER_H
#define MIRED_CONFIG_READER_H

#include "config/values.h"

/* Where a value was written. */
struct place {
    const char *file;
    int line;
};

/* What check.c needs to know of where things stand: by section and its number among its kind. */
struct reader {
    struct config *config;
    struct buf *errors;
    unsigned wrong;    /* errors so far, warnings not counted */
    struct note *note; /* lines of values, see read.c */
    size_t notes;
    struct place *section[SECTION_COUNT]; /* of each section, in order */
    struct place **value[SECTION_COUNT];  /* [section number][key number] */
    struct place main[64];                /* by key number in keys_main; line 0: not set */
};

/* "FILE:LINE: ..." onto the errors; a line of 0 leaves file and line to what is known. */
void reader_wrong(struct reader *r, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reader_warn(struct reader *r, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Where a key of a section was written, or the section when it was not. */
struct place reader_place(const struct reader *r, enum section_kind s, size_t number,
                          const char *key);
/* Whether the key was written at all. */
bool reader_is_set(const struct reader *r, enum section_kind s, size_t number, const char *key);
struct place reader_main(const struct reader *r, const char *key);

/* All of a file, the caller's to free; 0 or -errno. */
int explain_read(const char *file, struct buf *text);
/* Tells what is wrong with the braces, quotes and commas of a file. Returns how many mistakes. */
unsigned explain_shape(struct reader *r, const char *file, struct span text);
/* What to say of a key that `section` (NULL: the main one) does not have: the one that was probably
 * meant, or the section that has it. Empty when there is nothing to say. */
const char *explain_unknown(const char *section, const char *key, char out[256]);

/* Takes the title of a section, the i-th of its kind. False: it is wrong, and that has been told.
 */
bool reader_begin_section(struct reader *r, enum section_kind s, size_t i, const char *title);

/* What the keys of a section go into: the i-th of its kind. */
void *config_section(struct config *c, enum section_kind s, size_t i);

/* Defaults that depend on the machine, and everything that more than one value decides. */
void config_check(struct reader *r);
/* The part of it that is about clients and the DNS: exempt, dnsbl, dnswl, resolver. */
void config_check_dns(struct reader *r);

#endif
