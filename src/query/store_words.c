/* Writes and reads what a worker says to the store; see store_words.h. */
#include "query/store_words.h"

#include <string.h>

size_t store_words_write(struct span domain, const char *delimiters, char text[STORE_WORDS_TEXT])
{
    struct span second = span_of(delimiters);

    if (domain.len >= STORE_WORD || second.len >= STORE_WORD)
        return 0;
    memcpy(text, domain.at, domain.len);
    text[domain.len] = ' ';
    memcpy(text + domain.len + 1, second.at, second.len);
    return domain.len + 1 + second.len;
}

static bool take(struct span from, char to[STORE_WORD])
{
    if (from.len >= STORE_WORD || memchr(from.at, '\0', from.len))
        return false;
    memcpy(to, from.at, from.len);
    to[from.len] = '\0';
    return true;
}

bool store_words_read(struct span text, struct store_words *words)
{
    size_t at = span_find(text, ' ');

    return at > 0 && at < text.len && take(span_first(text, at), words->domain) &&
           take(span_after(text, at + 1), words->delimiters);
}
