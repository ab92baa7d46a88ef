/* Private to the files that print results: reads members of a result. */
#ifndef MIRED_CTL_SHOW_PART_H
#define MIRED_CTL_SHOW_PART_H

#include <jansson.h>
#include <stdbool.h>

static inline long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static inline const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "-";
}

static inline double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static inline bool is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

#endif
