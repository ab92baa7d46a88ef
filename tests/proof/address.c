/* Paths of MAIL and RCPT: any octets of each length up to OCTETS, as path_parse() and
 * path_parse_bare() read them; and parts of addresses. */
#include "any_text.h"

#include "smtp/address.h"

static void path(struct span in)
{
    struct mailbox box;
    size_t used;

    (void)path_parse(in, &used, &box);
    //@ assert path_was_there: used <= in.len;
}

static void bare_path(struct span in)
{
    struct mailbox box;
    size_t used;

    (void)path_parse_bare(in, &used, &box);
    //@ assert bare_path_was_there: used <= in.len;
}

static void parts(struct span in)
{
    char delimiters[] = {'+', '-', '\0'};
    size_t sign = address_sign(in);
    struct span rest;

    Frama_C_make_unknown(delimiters, 2);
    rest = local_without_tag(in, delimiters);
    (void)local_is_routing(in);
    //@ assert sign_was_there: sign <= in.len;
    //@ assert rest_was_there: rest.len <= in.len;
}

static void follow(struct span in)
{
    switch (any_choice) {
    case 0: path(in); break;
    case 1: parts(in); break;
    default: bare_path(in);
    }
}
