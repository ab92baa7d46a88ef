/* The ledger's keys: for any address, any account, domain and mailbox of each length up to OCTETS, and
 * any name, with and without a fleet; and what is read from any key. */
#include "any_fleet.h"

#include "any_addr.h"
#include "any_text.h"

/* Those that the rules know (R10). */
static void level(const struct ledger *l, const struct addr *a)
{
    static const unsigned bits[] = {24, 32, 40, 48};

    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (any_choice)
            (void)ledger_key_level(l, a, bits[i]);
}

static void of_address(const struct ledger *l, struct span text)
{
    struct addr a = any_addr();

    switch (any_choice) {
    case 0: (void)ledger_key_client(l, &a); break;
    case 1: (void)ledger_key_network(l, &a); break;
    case 2: level(l, &a); break;
    case 3: (void)ledger_key_bounces(l, &a); break;
    case 4: (void)ledger_key_mailboxes(l, &a); break;
    case 5: (void)ledger_key_pair(l, &a, text); break;
    default: (void)ledger_key_account_network(l, text, &a);
    }
}

static void of_text(const struct ledger *l, struct span text)
{
    struct ledger_name n = any_name();

    switch (any_choice) {
    case 0: (void)ledger_key_account(l, text); break;
    case 1: (void)ledger_key_allowance(l, text); break;
    case 2: (void)ledger_mailbox(l, text); break;
    default: (void)ledger_key_named(l, &n);
    }
}

static void reading(const struct ledger *l, struct span text)
{
    struct ledger_key k = any_key();
    struct addr network;

    (void)ledger_key_addr(&k);
    (void)ledger_key_is_login(l, &k, text, &network);
    unsigned bits = ledger_key_bits(&k);
    //@ assert prefix: bits <= 255;
}

static void follow(struct span in)
{
    struct ledger l = any_choice ? any_member() : any_ledger();

    switch (any_choice) {
    case 0: of_address(&l, in); break;
    case 1: of_text(&l, in); break;
    default: reading(&l, in);
    }
}
