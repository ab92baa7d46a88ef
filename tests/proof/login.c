/* SCRAM's messages and the names in them; the heads of list files and their lines. */
#include "any_text.h"

#include "smtp/address_list.h"
#include "smtp/scram.h"

static void messages(struct span in)
{
    struct scram_first first;
    struct scram_final final;
    char name[OCTETS];

    (void)scram_read_first(in, &first);
    (void)scram_read_final(in, &final);
    (void)scram_name(in, name, sizeof name);
}

/* Messages of the right form, with any octets in places. */
static void near_messages(void)
{
    char one[] = "n,,n=ab,r=c", other[] = "c=b,r=n,p=q";
    struct span whole = {one, sizeof one - 1}, end = {other, sizeof other - 1};
    struct scram_first first;
    struct scram_final final;

    Frama_C_make_unknown(one + 5, 2);
    Frama_C_make_unknown(one + 10, 1);
    Frama_C_make_unknown(other + 2, 2);
    Frama_C_make_unknown(other + 10, 1);
    if (scram_read_first(whole, &first)) {
        //@ assert parts_were_there: first.header.len + first.bare.len <= whole.len;
        //@ assert nonce_was_there: 0 < first.nonce.len <= whole.len;
    }
    if (scram_read_final(end, &final)) {
        //@ assert signed_part_was_there: final.signed_part.len < end.len;
        //@ assert proof_was_there: 0 < final.proof.len < end.len;
    }
}

static void lines(struct span in)
{
    struct span rest = in, line;
    unsigned number = 0;

    if (list_begin(&rest) == NULL)
        (void)list_next(&rest, &number, &line);
    //@ assert what_is_left_was_there: rest.len <= in.len;
}

static void follow(struct span in)
{
    switch (any_choice) {
    case 0: messages(in); break;
    case 1: near_messages(); break;
    default: lines(in);
    }
}
