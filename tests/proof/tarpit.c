/* The tarpit's decisions over a ledger of any content: no undefined behaviour, no hold above
 * POLICY_HOLD_MAX, and none at all for a client that is exempt or has logged in. The ledger's
 * functions have no body here: each gives any value. */
#include "any_addr.h"
#include "any_rules.h"

#include "tarpit/policy.h"
#include "tarpit/retries.h"
#include "tarpit/tarpit.h"
#include "tarpit/tries.h"

static double amount(void)
{
    return Frama_C_double_interval(0, 1e9);
}

#define LATEST_MS (UINT64_C(1) << 50)

bool ledger_get(const struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                uint64_t now, struct ledger_entry *out)
{
    *out = (struct ledger_entry){.offences = amount(),
                                 .good = amount(),
                                 .turn_ms = up_to(LATEST_MS),
                                 .debt_ms = up_to(LATEST_MS),
                                 .seen_ms = up_to(LATEST_MS),
                                 .delivered_ms = up_to(LATEST_MS),
                                 .pass_ms = up_to(LATEST_MS),
                                 .patience_ms = (uint32_t)any_number,
                                 .flags = (uint32_t)any_number,
                                 .paced = any_choice & 1};
    return any_choice & 1;
}

uint64_t ledger_take_turn_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                               uint64_t from, uint64_t length, uint64_t latest, bool paced)
{
    uint64_t begin = up_to(LATEST_MS);

    return begin >= from && begin <= latest ? begin : 0;
}

bool ledger_mark(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t flag,
                 uint64_t period)
{
    return any_choice & 1;
}

double ledger_earn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t mailbox)
{
    return Frama_C_double_interval(0, 4);
}

bool tries_take(struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now)
{
    return any_choice & 1;
}

bool retries_is_due(const struct retries *r, uint64_t message, uint64_t after, uint64_t now)
{
    return any_choice & 1;
}

static void any_client(struct tarpit *t, const struct tarpit_who *who, bool spared, uint64_t now)
{
    ANY_TEXT(name);
    struct span user = {name, any_choice ? sizeof name : 0};
    enum offence offence = (enum offence)Frama_C_interval(0, OFFENCE_COUNT - 1);
    struct tarpit_permit permit =
        any_choice & 1 ? tarpit_ask(t, who, user, now) : tarpit_ask_password(t, who, user, now);
    struct tarpit_hold verdict = tarpit_verdict(t, who, user, &permit, offence, now + up_to(60000));
    struct tarpit_hold other = tarpit_offence(t, who, offence, now);
    struct tarpit_hold wait = tarpit_wait(t, who, now), greet = tarpit_greet(t, who, now);
    //@ assert hold: verdict.ms <= POLICY_HOLD_MAX && other.ms <= POLICY_HOLD_MAX;
    //@ assert wait: wait.ms <= POLICY_HOLD_MAX && greet.ms <= POLICY_HOLD_MAX;
    //@ assert spared_verdict: spared == 0 || (verdict.ms == 0 && other.ms == 0);
    //@ assert spared_wait: spared == 0 || (wait.ms == 0 && greet.ms == 0);
    //@ assert spared_masked: spared == 0 || (permit.masked == 0 && verdict.masked == 0);
    tarpit_no_verdict(t, who, &permit, now);
    tarpit_greeted(t, who, now);
    tarpit_gave_up(t, who, any_number, now);
    tarpit_trapped(t, who, now);
    tarpit_suspect(t, who, amount(), now);
    tarpit_listed(t, who, amount(), now);
    (void)tarpit_debt(t, who, now);
    (void)tarpit_has_delivered(t, who, now);
    (void)tarpit_in_good_standing(t, who, now);
}

/* Recipients, the mail that they get, and who a client is. */
static void any_mail(struct tarpit *t, const struct tarpit_who *who, bool spared, uint64_t now)
{
    enum { MAILBOXES = 3, LEVELS = 64 /* as worker/guard.h */ };
    ANY_TEXT(name);
    struct span text = {name, any_choice ? sizeof name : 0};
    struct addr peer = any_addr();
    struct tarpit_who other = tarpit_who(t, &peer, any_choice & 1);
    uint64_t mailbox[MAILBOXES] = {any_number, tarpit_mailbox(t, text), any_number};
    struct tarpit_permit permit = tarpit_ask_recipient(t, who, any_number, now);
    unsigned depth = tarpit_depth(t, who, now, LEVELS);
    bool proven = tarpit_is_proven(t, who, now);
    //@ assert recipient: permit.hold.ms <= POLICY_HOLD_MAX;
    //@ assert spared_recipient: spared == 0 || (permit.masked == 0 && proven == 1);
    //@ assert deepest: depth < LEVELS;
    tarpit_good(t, who, mailbox, Frama_C_unsigned_int_interval(0, MAILBOXES), now);
    tarpit_logged_in(t, who, &peer, text, now);
    (void)tarpit_by_correspondent(t, who, now);
    (void)tarpit_tries_left(&t->rules, t->tries, any_number, now);
    tarpit_prefetch(t, who);
    tarpit_sight(t, &peer);
    tarpit_sender(t, &other, text);
    (void)tarpit_rule_name((enum tarpit_rule)any_number);
    (void)tarpit_rule_about((enum tarpit_rule)any_number);
}

static void any_call(struct tarpit *t, const struct tarpit_who *who, bool spared, uint64_t now)
{
    if (any_choice)
        any_client(t, who, spared, now);
    else
        any_mail(t, who, spared, now);
}

int main(void)
{
    static char table; /* nothing here reads it */
    struct tarpit t = {.rules = any_rules(),
                       .retries = any_choice & 1 ? (struct retries *)&table : NULL,
                       .tries = any_choice & 1 ? (struct tries *)&table : NULL};
    struct tarpit_who who = {.client = any_number,
                             .network = any_number,
                             .client_label = any_number,
                             .network_label = any_number,
                             .pair = any_number,
                             .sender_known = any_choice & 1,
                             .null_sender = any_choice & 1};
    uint64_t now = LATEST_MS / 2; /* one time for all: only differences matter */

    switch (any_choice) {
    case 0: any_call(&t, &who, false, now); break;
    case 1:
        who.exempt = true;
        any_call(&t, &who, true, now);
        break;
    default:
        who.authenticated = true;
        any_call(&t, &who, true, now);
        break;
    }
    return 0;
}
