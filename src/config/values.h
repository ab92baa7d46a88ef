/* Reads and checks the values of keys. Private to src/config. */
#ifndef MIRED_CONFIG_VALUES_H
#define MIRED_CONFIG_VALUES_H

#include "config/keys.h"

/* Reads `count` texts into the field of `key` in the struct at `base`. False if a value is wrong;
 * `right` then says what would be right (at most 200 octets). Frees an earlier value that the
 * struct owns. */
bool value_read(const struct key *key, void *base, char *const *text, size_t count,
                char right[256]);

/* Gives each key of `keys` in the struct at `base` the default of its row, if it has one. False
 * without memory. */
bool values_preset(const struct key *keys, void *base);

/* Copies the value of a key that is a text, a duration or a size. (Lists are not needed here,
 * because a reload takes up all of them.) False without memory. */
bool value_copy(const struct key *key, void *to, const void *from);

/* Frees what value_read() made in the struct at `base`. */
void values_free(const struct key *keys, void *base);

/* Writes a domain as A-labels in lower case; false if it is not valid. */
bool value_domain(const char *text, char out[256]);

/* Writes what `text`, which is not a network, should be: "10.0.0.0/8, for 10.0.0.5/8 has host bits"
 * if set host bits are the only mistake, else `otherwise`. Returns `out`. */
const char *value_network_right(const char *text, const char *otherwise, char out[256]);

/* Appends a copy; false without memory. */
bool strings_add(struct config_strings *list, const char *text);
bool networks_add(struct config_networks *list, const struct network *n);
void strings_free(struct config_strings *list);

/* Write a time or a size in the form that people use, and return `out`. */
const char *value_duration_text(double ms, char out[32]);
const char *value_size_text(double octets, char out[32]);

#endif
