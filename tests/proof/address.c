/* Paths of MAIL and RCPT: any octets of each length up to OCTETS, as path_parse() and
 * path_parse_bare() read them. Each length is a case of its own, so that EVA keeps the relation
 * between a span's pointer and its length. */
#include "any.h"

#include "smtp/address.h"

enum { OCTETS = 3 };

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

int main(void)
{
    char text[OCTETS];

    Frama_C_make_unknown(text, sizeof text);
    for (size_t len = 0; len <= OCTETS; len++) {
        struct span in = {text, len};
        switch (any_choice) { /* a case ends here, so that its paths do not meet those of others */
        case 0: path(in); return 0;
        case 1: bare_path(in); return 0;
        default: break;
        }
    }
    return 0;
}
