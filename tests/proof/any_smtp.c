/* See any_smtp.h. */
#include "any_smtp.h"

#include <errno.h>

struct span any_words(void)
{
    static char words[ANY_WORDS];

    Frama_C_make_unknown(words, sizeof words);
    return (struct span){words, (size_t)Frama_C_interval(0, ANY_WORDS)};
}

struct span any_form(const char *form, char *room)
{
    size_t len = 0;

    for (; form[len]; len++)
        if (form[len] == '?')
            Frama_C_make_unknown(room + len, 1);
        else
            room[len] = form[len];
    return (struct span){room, len};
}

struct reply any_reply(unsigned least, unsigned most)
{
    return (struct reply){.id = REPLY_OTHER,
                          .code = (uint16_t)Frama_C_unsigned_int_interval(least, most),
                          .enhanced = {any_number, any_number, any_number},
                          .offence = (uint8_t)Frama_C_interval(0, OFFENCE_COUNT - 1),
                          .last = any_choice & 1,
                          .arg = any_words()};
}

void proof_reads(struct span s)
{
    //@ assert text_is_there: s.len == 0 || \valid_read(s.at + (0 .. s.len - 1));
    //@ assert text_is_set: s.len == 0 || \initialized(s.at + (0 .. s.len - 1));
}

int any_memory(void)
{
    return any_choice ? 0 : -ENOMEM;
}
