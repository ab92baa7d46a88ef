/* Finds mistakes in the form of a configuration file: braces, quotes, commas. Private to
 * src/config. */
#ifndef MIRED_CONFIG_SCAN_H
#define MIRED_CONFIG_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct scan_hooks {
    void *arg;
    bool (*is_section)(void *arg, struct span name);
    bool (*is_key)(void *arg, struct span name); /* of any section */
    void (*wrong)(void *arg, int line, const char *text);
};

/* Reports each mistake with its line, in the order of the text. It stops at a mistake after which
 * the rest cannot be understood (an open brace or quote). Pure. Returns how many there are. */
unsigned scan_text(struct span text, const struct scan_hooks *hooks);

/* Replaces comments with spaces; quoted texts and line ends stay. */
void scan_blank_comments(char *text, size_t len);

#endif
