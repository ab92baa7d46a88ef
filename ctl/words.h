/* Turns the words after a command into the arguments of its request. */
#ifndef MIRED_CTL_WORDS_H
#define MIRED_CTL_WORDS_H

#include <jansson.h>
#include <stdbool.h>

/* An option: a flag, or one with a value that is taken as text or as a number. */
struct word_option {
    const char *name, *key;
    bool number, flag;
};

/* Takes `options` (ended by one without name) and `least` to `most` other words: the first is
 * `key`, a second one `second`; "-" is such a word. NULL when they are wrong; else an object, the
 * caller's. */
json_t *words_take(int argc, char **argv, const struct word_option *options, const char *key,
                   const char *second, int least, int most);

#endif
