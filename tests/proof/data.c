/* The scanners of messages (the scalar ones; data_skip.c skips nothing here), from any state and
 * over any octets: in one piece of any length up to OCTETS, as DATA and as chunks, in any of their
 * modes. */
#include "any_text.h"

#include "smtp/data_part.h"

static struct data_scan any_scan(void)
{
    struct data_scan d = {.line = Frama_C_unsigned_int_interval(0, DATA_LINE_MAX),
                          .state = Frama_C_unsigned_int_interval(LINE_START, CR_DUE),
                          .bad = any_choice & 1,
                          .nul = any_choice & 1,
                          .nul_line = Frama_C_unsigned_int_interval(0, 2),
                          .nul_first = any_choice & 1,
                          .allow_nul = any_choice & 1,
                          .mend = any_choice & 1};
    return d;
}

static void scan(struct span in)
{
    struct data_scan d = any_scan();
    struct data_found found;

    if (d.state == DOT_DUE || d.state == CR_DUE)
        return;
    (void)data_scan(&d, in, &found);
    //@ assert within_the_octets: found.body <= found.used <= in.len;
    //@ assert dots_are_octets: found.dots <= found.body;
}

static void scan_chunk(struct span in)
{
    struct data_scan d = any_scan();
    size_t used = data_scan_chunk(&d, in);

    //@ assert chunk_within_the_octets: used <= in.len;
    (void)data_chunk_owes(&d);
    (void)data_chunks_end(&d);
}

static void unstuff(struct span in)
{
    char out[OCTETS];
    bool line_start = any_choice & 1;
    size_t length = data_unstuff(&line_start, in, out);

    //@ assert not_longer: length <= in.len;
}

static void count_received(struct span in)
{
    struct received_count r = {.count = Frama_C_unsigned_int_interval(0, UINT16_MAX),
                               .column = Frama_C_unsigned_int_interval(0, 8),
                               .state = Frama_C_unsigned_int_interval(0, 2)};

    received_scan(&r, in);
}

static void start(struct span in)
{
    struct data_scan d;
    struct data_found found;

    data_start(&d);
    (void)data_scan(&d, in, &found);
    //@ assert start_within_the_octets: found.body <= found.used <= in.len;
}

static void follow(struct span in)
{
    switch (any_choice) {
    case 0: scan(in); break;
    case 1: scan_chunk(in); break;
    case 2: unstuff(in); break;
    case 3: count_received(in); break;
    default: start(in);
    }
}
