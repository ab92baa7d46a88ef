/* The Received: line: the date at each time of 44 years and at the last that there is; the header for
 * names, accounts and addresses of any octets, in one piece of any length up to OCTETS, and of the
 * lengths where they are cut. */
#define MIRED_PROOF_OCTETS 2
#include "any_buf.h"
#include "any_text.h"

#include "smtp/address.h"
#include "smtp/received.h"
#include "smtp/session.h"

char *stpcpy(char *to, const char *from)
{
    while ((*to = *from)) {
        to++;
        from++;
    }
    return to;
}

char *strcpy(char *to, const char *from)
{
    (void)stpcpy(to, from);
    return to;
}

/* A string of `len` characters; `room` has one octet more. Each of any value would double the paths. */
static const char *string_of(char *room, size_t len)
{
    memset(room, 'a', len);
    room[len] = '\0';
    return room;
}

const char *addr_format_literal(const struct addr *a, char text[ADDR_TEXT])
{
    return string_of(text, any_choice ? 3 : ADDR_TEXT - 1);
}

/* Days from 1 March of the first year of 400 to 1 March of the year `y`. */
static unsigned days_before(unsigned y)
{
    return 365 * y + y / 4 - y / 100 + y / 400;
}

static void show_date(uint64_t first, uint64_t last)
{
    enum { DAY_MS = 86400000 };
    char text[RECEIVED_DATE];
    uint64_t day = Frama_C_unsigned_long_long_interval(first, last);
    uint64_t wall_ms = day * DAY_MS + Frama_C_unsigned_int_interval(0, DAY_MS - 1);

    (void)received_date(wall_ms, text);
    unsigned digit = (unsigned char)text[5];
    //@ assert day_of_month: '1' <= digit <= '9';
    exit(0); /* the path ends: nothing is joined with it */
}

/* Each month of a year is a path. Years are counted from March 2000, as in the code; those behind
 * February 2370 are 400 years earlier. */
static void show_year(unsigned y)
{
    enum { ERA = 146097, FIRST = 719468 - 4 * ERA /* 1 January 1970 */ };

    for (unsigned m = 0; m < 12; m++)
        if (any_choice) {
            unsigned from = days_before(y) + (153 * m + 2) / 5;
            unsigned to = m < 11 ? days_before(y) + (153 * m + 155) / 5 : days_before(y + 1);
            unsigned day = from < FIRST ? from + ERA - FIRST : from - FIRST;
            show_date(day, day + (to - from) - 1);
        }
    exit(0);
}

/* At the turns of the centuries, at the begin of the count and in our time. */
static void show_dates(void)
{
    static const uint16_t years[] = {0, 24, 28, 96, 100, 196, 200, 296, 300, 368, 396};

    for (size_t i = 0; i < sizeof years / sizeof *years; i++)
        for (unsigned y = 0; y < 4; y++)
            if (any_choice)
                show_year(years[i] + y);
    exit(0);
}

static void show_last_date(void)
{
    char text[RECEIVED_DATE];

    (void)received_date(UINT64_MAX, text);
    (void)received_protocol((uint16_t)any_number);
}

static void write_header(const struct received_from *from)
{
    struct buf out = {.at = NULL};

    if (received_header(from, any_choice ? 0 : UINT64_MAX, &out) == 0) {
        //@ assert line_ends: proof_line == 0;
    }
    //@ assert lines_fit: proof_longest <= 998;
    exit(0);
}

/* How a message may have come: each name of a protocol. */
static void write_with(struct received_from *from)
{
    static const uint16_t ways[] = {SMTP_TLS_ON, SMTP_AUTHENTICATED, SMTP_LMTP, SMTP_UTF8};

    for (unsigned set = 0; set <= 1u << 4; set++)
        if (any_choice) {
            for (unsigned i = 0; i < 4; i++)
                from->flags |= set >> i & 1 ? ways[i] : 0;
            from->flags |= set < 1u << 4 ? SMTP_ESMTP : 0;
            write_header(from);
        }
}

static void follow(struct span in)
{
    enum { LONGEST = 256 };
    char name[LONGEST], host[LONGEST], id[16];
    struct span known = {string_of(name, LONGEST - 1), LONGEST - 1};
    struct received_from from = {.helo = SPAN("a"),
                                 .login = any_choice ? known : (struct span){0},
                                 .hostname = string_of(host, LONGEST - 1),
                                 .id = string_of(id, sizeof id - 1)};

    name[LONGEST - 1] = 'a';
    switch (any_choice) {
    case 0: show_dates(); return;
    case 1: show_last_date(); return;
    case 2: from.helo = in; break;
    case 3: from.helo = (struct span){name, LONGEST}; break;
    case 4: from.login = in; break;
    case 5: from.login = (struct span){name, LONGEST}; break;
    case 6: from.only_recipient = in; break;
    case 7: from.only_recipient = (struct span){name, ADDRESS_MAX - 2}; break;
    default: write_with(&from); return;
    }
    write_header(&from);
}
