/* Private to import*.c: the settings found so far, and functions for reading. */
#ifndef MIRED_CTL_IMPORT_PART_H
#define MIRED_CTL_IMPORT_PART_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"

enum { IMPORT_HOST = 256, IMPORT_TITLE = 300 };

struct import_route; /* of import_routes.c */

struct import {
    json_t *lines;
    int found;                         /* settings that were understood */
    bool timed;                        /* a delay was found: the longest is taken */
    unsigned long seconds;             /* of it */
    unsigned long greet;               /* seconds before the greeting; 0: not said */
    unsigned long size;                /* of a message; 0: not said */
    struct buf exempt, relay, domains; /* lists, as they stand between braces */
    struct buf rest;                   /* names of settings that nothing came of */
    struct buf listening;              /* addresses of `listen` sections */
    struct buf zones;                  /* of dnsbl and dnswl sections */
    unsigned lists;                    /* how many */
    bool backed;                       /* there is a `backend` */
    struct import_route *route;        /* servers with domains of their own */
    size_t routes;
    const char *usual_backend; /* the title of the server for all others; NULL: not said */
    bool only_ip4, only_ip6;   /* what `listen` is for where no address is said */
    bool some_unknown;         /* domains stand in a table that was not read */
};

/* Adds a note; or a line of mired.conf with its reason. Formats are those of printf(). Words of the
 * text are cleaned of everything that could end a comment. */
void import_note(struct import *im, const char *reason, ...) __attribute__((format(printf, 2, 3)));
void import_set(struct import *im, const char *reason, const char *setting, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a delay of so many seconds, from the setting named `from`. */
void import_time(struct import *im, const char *from, unsigned long seconds);

/* Adds a pause of so many seconds before the greeting, from the setting named `from`. */
void import_greet(struct import *im, const char *from, unsigned long seconds);

/* The words of a list, in braces perhaps: networks for `exempt`, domains for `domains`. Others are
 * named in a note. */
void import_exempt(struct import *im, struct span list);
void import_domains(struct import *im, struct span list);

/* Adds networks that may send to any domain: to `relay`, and to `exempt`, because they are your
 * own. */
void import_relay(struct import *im, struct span list);

/* Adds a setting that is not converted; all of these are named together at the end. */
void import_rest(struct import *im, struct span name);

/* Adds an address to listen on, with port 25; in the form of `listen`, with brackets for IPv6. */
void import_listen(struct import *im, const char *address, const char *reason);
/* Adds a backend: its title, and the text in its braces. */
void import_backend(struct import *im, const char *title, const char *more, const char *reason);

/* Adds a list in the DNS, "zone" or "zone=127.0.0.[2..11]", from the setting `from`. `kind` is
 * dnsbl or dnswl. If it cannot be converted, a note names it. */
void import_list(struct import *im, const char *kind, struct span list, const char *from);

/* Adds the lines for everything that was found. */
void import_end(struct import *im);

/* The three kinds of text. */
void import_registry(struct import *im, struct span text);
void import_relay_list(struct import *im, struct span text);

/* A host as it stands in a title: "mail.example.net", "10.0.0.5" or "[10.0.0.5]"; false: it is
 * none. */
bool import_host(struct span value, char out[IMPORT_HOST]);

/* Mail for `domain` (".example.org": all below it) goes to the server with that title. False: that
 * cannot be written. import_end_routes() writes a backend for each server. */
bool import_route(struct import *im, const char *title, struct span domain);
void import_end_routes(struct import *im);

/* Lines of Postfix's transport table, between others. */
void import_transports(struct import *im, struct span text);

void import_metabase(struct import *im, struct span text);
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

/* Whether it can be between quotes in mired.conf unchanged. */
bool import_is_plain(struct span text);
bool import_is_domain(struct span text);

#endif
