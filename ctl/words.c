/* Turns words into JSON; see words.h. mired checks the values. */
#include "words.h"

#include <stdlib.h>
#include <string.h>

static bool take_option(json_t *args, const struct word_option *o, int argc, char **argv, int *i)
{
    if (o->flag)
        return json_object_set_new(args, o->key, json_true()) == 0;
    if (*i + 1 >= argc)
        return false;
    const char *value = argv[++*i];
    if (!o->number)
        return json_object_set_new(args, o->key, json_string(value)) == 0;
    char *end;
    double n = strtod(value, &end);
    if (end == value || *end || !(n > -1e15 && n < 1e15))
        return false;
    bool whole = n == (double)(json_int_t)n;
    return json_object_set_new(args, o->key, whole ? json_integer((json_int_t)n) : json_real(n)) ==
           0;
}

json_t *words_take(int argc, char **argv, const struct word_option *options, const char *key,
                   const char *second, int least, int most)
{
    json_t *args = json_object();
    int words = 0;

    for (int i = 0; i < argc; i++) {
        const struct word_option *o = options;
        while (o->name && strcmp(o->name, argv[i]) != 0)
            o++;
        bool good =
            o->name ? take_option(args, o, argc, argv, &i)
                    : (argv[i][0] != '-' || argv[i][1] == '\0') && words++ < most &&
                          json_object_set_new(args, words == 1 ? key : second,
                                              json_string(argv[i])) == 0; /* fails on bad UTF-8 */
        if (!good) {
            json_decref(args);
            return NULL;
        }
    }
    if (words < least) {
        json_decref(args);
        return NULL;
    }
    return args;
}
