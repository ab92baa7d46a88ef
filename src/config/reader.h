/* What the parts of one reading of mired.conf share. Private to src/config. */
#ifndef MIRED_CONFIG_READER_H
#define MIRED_CONFIG_READER_H

#include "config/values.h"

/* Where a value was written. */
struct place {
    const char *file;
    int line;
};

/* One reading. For check.c it has the places of sections and values: by kind of section, and by
 * number within a kind. */
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

/* Add "FILE:LINE: ..." to the errors; without a line (0) only what is known of the place. */
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

/* Reads a whole file into *text, which the caller frees. Returns 0 or -errno. */
int explain_read(const char *file, struct buf *text);
/* Reports mistakes in the braces, quotes and commas of a file. Returns how many there are. */
unsigned explain_shape(struct reader *r, const char *file, struct span text);
/* Writes a hint for a key that `section` (NULL: the main part) does not have: the key that was
 * probably meant, or the section that has it. Empty if there is no hint. Returns `out`. */
const char *explain_unknown(const char *section, const char *key, char out[256]);

/* Reads the title of a section, the i-th of its kind. False if it is wrong, which has then been
 * reported. */
bool reader_begin_section(struct reader *r, enum section_kind s, size_t i, const char *title);

/* The struct that the keys of a section are stored in: the i-th of its kind. */
void *config_section(struct config *c, enum section_kind s, size_t i);

/* Sets defaults that depend on the machine, and makes all checks that need more than one value. */
void config_check(struct reader *r);
/* The part of it that is about clients and the DNS: exempt, dnsbl, dnswl, resolver. */
void config_check_dns(struct reader *r);
void config_check_relay(struct reader *r);
/* A file that OpenSSL reads must be a regular one: of a pipe it would wait for the writer, and a
 * reload with it. `what` is the key's name. */
void config_check_pem(struct reader *r, struct place at, const char *what, const char *path);
/* The part about addresses that clash: of listeners, and of backends with listeners. */
void config_check_ports(struct reader *r);
/* The part about the fleet. Reads the URLs of its servers. */
void config_check_fleet(struct reader *r);
void config_free_fleet(struct config *c);
/* Makes config->routes, of folded `domains` and those of sections. */
void config_make_routes(struct reader *r);
/* Says which domains and sections do not find each other. */
void config_check_routes(struct reader *r);
/* Folds a name, or a suffix with its dot, of a key in place; false: it is none, and that has been
 * told. */
bool config_fold_domain(struct reader *r, struct place at, const char *key, char **text);

#endif
