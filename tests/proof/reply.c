/* The writing of replies: each row of the table with any code, and enhanced codes of all lengths, over
 * arguments of any octets, in one piece of any length up to OCTETS, and of more lines and octets than a
 * reply may have. */
#define MIRED_PROOF_OCTETS 2
#include "any_buf.h"
#include "any_text.h"

static void write_it(const struct reply *r, struct buf *out)
{
    if (reply_write(r, out))
        return;
    if (r->id != REPLY_EHLO) {
        //@ assert whole_fits: out->len <= REPLY_WHOLE_MAX && proof_lines <= REPLY_LINES_MAX;
    }
    //@ assert line_ends: proof_line == 0;
    //@ assert lines_fit: proof_longest + 2 <= REPLY_LINE_MAX;
}

static void write_any(const struct reply *r)
{
    struct buf out = {.at = NULL};

    switch (any_choice) {
    case 0: write_it(r, &out); exit(0); /* the path ends: nothing is joined with it */
    case 1: (void)reply_drip(r, true, &out); break;
    case 2: (void)reply_drip(r, false, &out); break;
    default: (void)reply_end_drip(r, &out);
    }
    //@ assert drip_fits: out.len <= REPLY_DRIP_FIRST_MAX;
    exit(0);
}

/* None, and the shortest and the longest that there may be. */
static void choose_enhanced(uint8_t enhanced[3])
{
    static const uint8_t least[] = {0, 0, 100}, most[] = {0, 9, 255};

    for (int i = 0; i < 3; i++)
        if (any_choice) {
            for (int k = 0; k < 3; k++)
                enhanced[k] = (uint8_t)Frama_C_interval(least[i], most[i]);
            return;
        }
}

static void write_row(enum reply_id id, struct span arg)
{
    struct reply r = reply_make(id, arg);
    unsigned code = r.code;
    //@ assert known_code: code == 0 || 200 <= code < 600;
    r.code = (uint16_t)Frama_C_unsigned_int_interval(200, 599);
    choose_enhanced(r.enhanced);
    write_any(&r);
}

/* Each row is a path of its own, as each length is. */
static void write_rows(struct span arg)
{
    for (unsigned id = 0; id < REPLY_COUNT; id++)
        if (any_choice)
            write_row((enum reply_id)id, arg);
}

/* Words that are cut: in rows of each form, and so that two octets of any value are where a line or
 * a drip without an enhanced code is full. */
static void write_long(void)
{
    enum { LONG = REPLY_LINE_MAX + 8, HEAD = 4, END = 2 };
    static const enum reply_id ids[] = {REPLY_OTHER, REPLY_EHLO, REPLY_TIMEOUT, REPLY_NO_USER};
    static const uint16_t most[] = {REPLY_LINE_MAX, REPLY_DRIP_FIRST_MAX};
    char text[LONG];

    memset(text, 'a', sizeof text);
    for (int i = 0; i < 4; i++)
        if (any_choice)
            write_row(ids[i], (struct span){text, LONG});
    for (int i = 0; i < 2; i++)
        for (int before = 0; before <= 2; before++)
            if (any_choice) {
                struct reply r = reply_make(REPLY_OTHER, (struct span){text, LONG});
                Frama_C_make_unknown(text + most[i] - HEAD - END - before, 2);
                r.code = 550;
                write_any(&r);
            }
}

/* More lines than are allowed, and more octets than their number allows. */
static void write_lines(void)
{
    enum { SHORT = 2, MIDDLE = 340, ALL = 3 * MIDDLE };
    static const enum reply_id ids[] = {REPLY_OTHER, REPLY_EHLO, REPLY_BAD_ARGUMENT};
    char text[ALL];
    int line = any_choice ? SHORT : MIDDLE;

    memset(text, 'a', sizeof text);
    for (int i = line - 1; i < ALL; i += line)
        text[i] = '\n';
    for (int i = 0; i < 3; i++)
        if (any_choice)
            write_row(ids[i],
                      (struct span){text, line == SHORT ? SHORT * (REPLY_LINES_MAX + 2) : ALL});
}

static void follow(struct span in)
{
    if (any_choice)
        write_rows(in);
    if (any_choice)
        write_long();
    write_lines();
}
