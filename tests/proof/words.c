/* Lines of clients and the words in them: any octets, in pieces of each length up to OCTETS. */
#include "any_text.h"

#include "smtp/command.h"
#include "smtp/session.h"
#include "smtp/text.h"

static void line(struct span in)
{
    struct span rest = in, line = {0};
    bool swallow = any_choice & 1;

    (void)smtp_command_line(&rest, OCTETS - 1, &swallow, &line);
    //@ assert what_is_left_was_there: rest.len <= in.len;
    //@ assert line_was_there: line.len <= in.len;
    (void)smtp_is_tls(in);
}

static void word(struct span in)
{
    struct span rest = in, word = text_word(&rest);

    //@ assert word_was_there: word.len <= in.len && rest.len <= in.len;
    (void)smtp_command_find(word, any_choice & 1);
}

/* What a client says before its greeting: any octets; and lines of check tools, with any octets in
 * places. */
static void early(struct span in)
{
    static const char lines[] = "EHLO a\r\nQUIT\r\n";
    char room[sizeof lines];

    (void)smtp_early(in);
    memcpy(room, lines, sizeof lines);
    for (size_t at = 0; at < sizeof lines - 1; at++)
        if (any_choice) {
            Frama_C_make_unknown(room + at, 1);
            (void)smtp_early((struct span){room, sizeof lines - 1});
            return;
        }
}

static void table(void)
{
    const struct command *c = smtp_command_at((unsigned)any_number);

    if (c)
        (void)smtp_command_refusal(c, (enum smtp_state)Frama_C_interval(0, STATE_COUNT - 1));
}

static void octets(struct span in)
{
    size_t one = utf8_length(in), printable = text_printable(in);
    uint64_t number;

    //@ assert character_was_there: one <= in.len && printable <= in.len;
    (void)text_is_xtext(in, any_choice & 1);
    (void)span_trim(in);
    (void)span_number(in, &number);
}

static void follow(struct span in)
{
    switch (any_choice) {
    case 0: line(in); break;
    case 1: word(in); break;
    case 2: early(in); break;
    case 3: table(); break;
    default: octets(in);
    }
}
