/* The folded form of addresses, and the addresses in lists: any octets of each length up to OCTETS, and
 * addresses with any octets in places. libidn2 is a stand-in: it may find no memory, refuse a name, or
 * make any text of it. */
#define MIRED_PROOF_OCTETS 2
#include "any_smtp.h"
#include "any_text.h"

#include <idn2.h>

#include "smtp/address.h"
#include "smtp/address_list.h"

enum { ROOM = 16 };

static char ascii[OCTETS + 1];

int idn2_to_ascii_8z(const char *input, char **output, int flags)
{
    size_t len = 0;

    proof_reads((struct span){input, strlen(input) + 1});
    if (any_choice)
        return any_choice ? IDN2_MALLOC : IDN2_DISALLOWED;
    while (len < OCTETS && any_choice)
        len++;
    Frama_C_make_unknown(ascii, len);
    ascii[len] = '\0';
    *output = ascii;
    return IDN2_OK;
}

void idn2_free(void *at)
{
    //@ assert the_text: at == &ascii[0];
    memset(ascii, 0, sizeof ascii);
}

/* Room for nothing, for a part and for all. */
static size_t some_room(void)
{
    return any_choice ? 0 : any_choice ? 3 : ROOM;
}

static void fold_parts(struct span local, struct span domain)
{
    struct mailbox box = {local, domain};
    char out[ROOM];
    size_t room = some_room(), len = mailbox_fold(&box, out, room);

    //@ assert fits: len == 0 || len < room;
    exit(0); /* the path ends: nothing is joined with it */
}

static void fold(struct span in)
{
    switch (any_choice) {
    case 0: fold_parts(in, SPAN("b")); break;
    case 1: fold_parts(SPAN("a"), in); break;
    default: fold_parts(SPAN("\"\\\"\""), (struct span){0});
    }
}

static void line(struct span in)
{
    char out[ROOM];
    const char *right;
    size_t room = some_room(), len = list_address(in, any_choice & 1, out, room, &right);

    if (len) {
        //@ assert folded_fits: len < room;
    } else {
        proof_reads(span_of(right));
    }
    exit(0);
}

/* An address, or all of a domain, with any octet in one place. */
static void near_line(void)
{
    char one[] = "a@b", other[] = "@b";

    for (size_t at = 0; at < sizeof one - 1; at++)
        if (any_choice) {
            Frama_C_make_unknown(one + at, 1);
            line((struct span){one, sizeof one - 1});
        }
    if (any_choice)
        Frama_C_make_unknown(other + 1, 1);
    line((struct span){other, sizeof other - 1});
}

static void follow(struct span in)
{
    switch (any_choice) {
    case 0: fold(in); break;
    case 1: line(in); break;
    default: near_line();
    }
}
