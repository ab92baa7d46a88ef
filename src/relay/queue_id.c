/* Queue ids in backends' replies; see queue_id.h. The table has a row for each form of reply, tried
 * in order: the words before the id, and the characters that it may have. The result is used for
 * the log only. */
#include "relay/queue_id.h"

#include <stdbool.h>
#include <string.h>

enum { ID_MIN = 3, ID_MAX = 128 };

/* The position after `word` in `text`, ignoring case; SIZE_MAX if it is not there. */
static size_t behind(struct span text, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= text.len; i++)
        if (span_equal_fold((struct span){text.at + i, len}, (struct span){word, len}))
            return i + len;
    return (size_t)-1;
}

static bool may_be_in_id(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("-_.+=/@$", c));
}

/* The id that `text` begins with, after blanks and an opening bracket. */
static struct span id_at(struct span text)
{
    size_t i = 0, end;

    while (i < text.len && strchr(" :(<[\"", text.at[i]) && text.at[i])
        i++;
    for (end = i; end < text.len && may_be_in_id(text.at[end]);)
        end++;
    while (end > i && (text.at[end - 1] == '.' || text.at[end - 1] == '-'))
        end--; /* of the sentence */
    struct span id = {text.at + i, end - i};
    return id.len >= ID_MIN && id.len <= ID_MAX ? id : (struct span){0};
}

static bool has_digit(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] >= '0' && s.at[i] <= '9')
            return true;
    return false;
}

static struct span word_before(struct span text, size_t at)
{
    size_t end = at, begin;

    while (end > 0 && (text.at[end - 1] == ' ' || text.at[end - 1] == ':'))
        end--;
    for (begin = end; begin > 0 && may_be_in_id(text.at[begin - 1]);)
        begin--;
    return (struct span){text.at + begin, end - begin};
}

struct span queue_id(struct span text)
{
    static const char *const before[] = {
        "queued as ", "queued mail as ", "InternalId=", "SESSIONID=", " id=",
        "qp ",        "Queued (",        "queue id ",   "queueid ",   "message-id ",
    };
    static const char *const after[] = {"Message accepted for delivery", "Saved", "- gsmtp"};

    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        size_t at = behind(text, before[i]);
        if (at == (size_t)-1 && before[i][0] == ' ' && text.len > strlen(before[i]) &&
            span_equal_fold(span_first(text, strlen(before[i]) - 1), span_of(before[i] + 1)))
            at = strlen(before[i]) - 1; /* the text begins with it */
        if (at == (size_t)-1)
            continue;
        struct span id = id_at(span_after(text, at));
        if (has_digit(id))
            return id;
    }
    for (size_t i = 0; i < sizeof after / sizeof after[0]; i++) {
        size_t at = behind(text, after[i]);
        if (at == (size_t)-1)
            continue;
        struct span id = word_before(text, at - strlen(after[i]));
        if (id.len >= ID_MIN && id.len <= ID_MAX && has_digit(id))
            return id;
    }
    return (struct span){0};
}
