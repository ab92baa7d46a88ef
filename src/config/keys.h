/* The schema of mired.conf: one row for each key. Private to src/config and to tools that print it.
 *
 * A row has the key's name, type, bounds, default, unit, whether a reload takes up a change, and
 * one line of help. Reading (read.c), checks (values.c), `mirectl config` (print.c), `mired --keys`
 * and the tables of docs/configuration.md (and so mired.conf(5)) all come from it: to add a key,
 * add its row and a field in config.h, and run scripts/key-tables. */
#ifndef MIRED_CONFIG_KEYS_H
#define MIRED_CONFIG_KEYS_H

#include <stddef.h>

#include "config/config.h"

enum key_type {
    KEY_TEXT,  /* char * */
    KEY_BOOL,  /* bool */
    KEY_COUNT, /* uint32_t, or uint64_t with KEY_LONG_COUNT */
    KEY_LONG_COUNT,
    KEY_NUMBER,   /* double */
    KEY_DURATION, /* uint64_t, ms */
    KEY_SIZE,     /* uint64_t, octets */
    KEY_SHARE,    /* double 0..1, written as "10%" */
    KEY_CHOICE,   /* int, index into choices */
    KEY_TEXTS,    /* struct config_strings */
    KEY_NETWORKS, /* struct config_networks */
    KEY_AUTO,     /* uint64_t, "auto" is 0 */
};

struct key {
    const char *name;
    enum key_type type;
    size_t offset; /* into the section's struct */
    double min, max;
    const char *const *choices; /* KEY_CHOICE; NULL-terminated */
    const char *preset;         /* the default, as written; NULL: see `otherwise` */
    const char *otherwise;      /* a default that is not a constant, in words; NULL: "none" */
    const char *unit;           /* the unit of a number, or what a text names; NULL: none */
    bool restart;               /* a reload keeps the earlier value, and warns */
    const char *later;          /* not NULL: refused, "not yet supported"; says what it is for */
    const char *help;           /* one line */
};

extern const struct key keys_main[], keys_listen[], keys_tls[], keys_tarpit[], keys_recipients[],
    keys_auth[], keys_allowance[], keys_backend[], keys_dnsbl[], keys_dnswl[], keys_web[],
    keys_fleet[];

enum section_kind {
    SECTION_LISTEN,
    SECTION_TLS,
    SECTION_TARPIT,
    SECTION_RECIPIENTS,
    SECTION_AUTH,
    SECTION_ALLOWANCE,
    SECTION_BACKEND,
    SECTION_DNSBL,
    SECTION_DNSWL,
    SECTION_WEB,
    SECTION_FLEET,
    SECTION_COUNT
};

struct section {
    const char *name;
    const struct key *keys;
    bool titled;       /* NAME "title" { }, any number of times */
    const char *later; /* not NULL: refused as a whole */
};
extern const struct section sections[SECTION_COUNT];

#endif
