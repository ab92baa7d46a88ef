/* Advice: each function over a state that the others can have left, with any number of clients in its
 * lists; entries and counters of any value, amounts finite and not negative, as the ledger has them. */
#include "any.h"
#include "any_addr.h"
#include "any_rules.h"

#include <arpa/inet.h>

#include "tarpit/advise.h"

/* Any text that fits. */
const char *inet_ntop(int family, const void *address, char *out, socklen_t room)
{
    if (any_choice)
        return NULL;
    Frama_C_make_unknown(out, INET6_ADDRSTRLEN - 1);
    out[INET6_ADDRSTRLEN - 1] = '\0';
    return out;
}

static double amount(void)
{
    return Frama_C_double_interval(0, 0x1p60);
}

static struct ledger_entry any_entry(void)
{
    return (struct ledger_entry){.offences = amount(),
                                 .good = amount(),
                                 .patience_ms = (uint32_t)any_number,
                                 .flags = (uint32_t)any_number};
}

static struct advise_named any_named(void)
{
    return (struct advise_named){any_addr(), amount(), amount()};
}

static struct advise_late any_late(void)
{
    struct advise_late l = {
        .who = any_addr(), .late = any_number, .put_off = any_number, .worst_s = any_number};

    Frama_C_make_unknown(l.domain, sizeof l.domain - 1);
    return l;
}

/* With `n` clients in each list: a path for each number. */
static struct advise any_advise(size_t n)
{
    struct tarpit_rules rules = any_rules();
    struct advise_facts facts = {{any_number, any_number, any_number},
                                 any_number,
                                 any_number,
                                 any_number,
                                 any_number,
                                 any_number};
    struct advise a;

    rules.held_max = any_number;
    advise_begin(&a, &rules, &facts);
    Frama_C_make_unknown((char *)a.patience, sizeof a.patience);
    Frama_C_make_unknown((char *)a.ratio, sizeof a.ratio);
    Frama_C_make_unknown((char *)a.debts, sizeof a.debts);
    a.clients = any_number;
    a.with_good = any_number;
    a.worst_good = amount();
    a.exempts = a.suspects = a.lates = n;
    for (size_t i = 0; i < n; i++) {
        a.exempt[i] = any_named();
        a.suspect[i] = any_named();
        a.late[i] = any_late();
    }
    return a;
}

static void gather(struct advise *a)
{
    struct addr who = any_addr();
    struct ledger_entry client = any_entry(), network = any_entry();
    struct observed_line line = {.client = any_addr(),
                                 .late = any_number,
                                 .put_off = any_number,
                                 .typos = any_number,
                                 .worst_s = any_number};

    switch (any_choice) {
    case 0: advise_client(a, &who, &client, &network); break;
    case 1: advise_network(a, &who, &network); break;
    default: Frama_C_make_unknown(line.domain, sizeof line.domain - 1); advise_observed(a, &line);
    }
    //@ assert lists_fit: a->exempts <= ADVISE_NAMED && a->suspects <= ADVISE_NAMED && a->lates <= ADVISE_NAMED;
}

static void follow(size_t named)
{
    struct advice out[ADVISE_MOST];
    struct advise a = any_advise(named);

    if (any_choice) {
        gather(&a);
        return;
    }
    size_t n = advise_end(&a, out);
    //@ assert proposals_fit: n <= ADVISE_MOST;
}

int main(void)
{
    for (size_t n = 0; n <= ADVISE_NAMED; n++)
        if (any_choice) {
            follow(n);
            return 0;
        }
    return 0;
}
