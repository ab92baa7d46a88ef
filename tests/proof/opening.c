/* The ledger's file of any content, opened with room for each number of sets up to SETS and a little
 * more, and closed; with a fleet's table and without. */
#include "any_fleet.h"

#include "tarpit/ledger_others.h"

enum { SETS = 2, SET = LEDGER_WAYS * sizeof(struct ledger_slot) };

static void use(struct ledger *l)
{
    if (any_choice)
        ledger_share(l, any_member().others);
    if (any_choice)
        ledger_share(l, NULL);
    (void)ledger_read_only(l);
    if (any_choice)
        ledger_convert_again(l);
    ledger_close(l);
}

int main(void)
{
    struct ledger *l;

    ledger_close(NULL);
    for (uint64_t sets = 0; sets <= SETS; sets++)
        if (any_choice) {
            if (ledger_open(&l, NULL, sets * SET + (any_choice ? 0 : SET - 1)) == 0)
                use(l);
            return 0;
        }
    return 0;
}
