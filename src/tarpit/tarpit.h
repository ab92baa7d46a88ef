/* The tarpit: offences in, holds out. Rules R1..R16, R21, R22 and R26 of docs/tarpit.md over the ledger.
 *
 * The caller (a worker, or the simulator in virtual time) owns the clock and the connections; this
 * module decides. policy.h has the pure arithmetic; this file connects it to the ledger. `now` is
 * wall ms. Safe from any process that mapped the ledger. Nothing blocks or fails. */
#ifndef MIRED_TARPIT_TARPIT_H
#define MIRED_TARPIT_TARPIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/offence.h"
#include "tarpit/ledger.h"
#include "tarpit/rules.h"

struct retries;
struct tries;

struct tarpit {
    struct tarpit_rules rules;
    struct ledger *ledger;   /* borrowed */
    struct retries *retries; /* borrowed; R26; NULL: off */
    struct tries *tries;     /* borrowed; R14, out of turn; NULL: off */
};

/* The client that a decision is about, as tarpit_who() and, once MAIL FROM is known,
 * tarpit_sender() make it. They cost two hashes and one; the same arguments give the same keys as
 * long as the ledger is open, so callers may keep them (worker/who.h). */
struct tarpit_who {
    uint64_t client, network; /* the ledger's keys */
    uint64_t client_label, network_label;
    uint64_t pair;        /* R21: the network and the sender's domain; 0: none, or <> */
    uint64_t pair_common; /* R25: its name in the fleet; 0: none */
    bool exempt; /* by configuration; exemptions in the ledger are looked up for each decision */
    bool authenticated; /* R19 */
    bool sender_known;  /* MAIL FROM was received */
    bool null_sender;   /* R13: the current envelope is from <> */
};

struct tarpit_who tarpit_who(const struct tarpit *t, const struct addr *peer, bool exempt);

/* Sets the domain of the current envelope's sender; empty for <>. */
void tarpit_sender(const struct tarpit *t, struct tarpit_who *who, struct span domain);

/* Prefetches the client's ledger entries and returns at once, for a caller that soon needs them. */
void tarpit_prefetch(const struct tarpit *t, const struct tarpit_who *who);

/* R25: a client has connected. The fleet process asks what other members know of it and of its
 * network, while the greeting is on its way; nobody waits for the answer. */
void tarpit_sight(const struct tarpit *t, const struct addr *peer);

/* T(identifier, the rule's number, what it does, for people) */
#define TARPIT_RULES(T)                                                                            \
    T(NONE, "", "nothing waits")                                                                   \
    T(OFFENCE, "R1", "an offence is held")                                                         \
    T(DEBT, "R3", "the client's last offence is still held")                                       \
    T(TURN, "R4", "the verdict waits for its turn")                                                \
    T(MASK, "R5", "the turn is too far away")                                                      \
    T(SHIELD, "R7", "the client is on the shield")                                                 \
    T(COVERED, "R8", "good mail pays for the offence")                                             \
    T(NETWORK, "R10", "a newcomer in a bad network waits once")                                    \
    T(CORRESPONDENT, "R21", "the client is in debt, its correspondent is not")                     \
    T(GREET, "R22", "the client is not known and waits for its greeting")                          \
    T(KNOWN, "R14", "the account knows the network: the right password does not wait")

enum tarpit_rule {
#define TARPIT_RULE_ID(id, number, about) RULE_##id,
    TARPIT_RULES(TARPIT_RULE_ID)
#undef TARPIT_RULE_ID
        RULE_COUNT
};

/* The rule's number in docs/tarpit.md: "R4"; "" for RULE_NONE. */
const char *tarpit_rule_name(enum tarpit_rule rule);
/* What the rule does, in words: "the verdict waits for its turn". */
const char *tarpit_rule_about(enum tarpit_rule rule);

enum {
    /* R14: what all accounts of a network may try out of turn together, in `login_tries` */
    TARPIT_TRIES_OF_NETWORK = 10,
    /* Verifiers answer yes sooner than no, and take up to so long. */
    TARPIT_LOOKED_UP_MS = 3000,
};

/* What to do with a reply. */
struct tarpit_hold {
    uint64_t ms;         /* hold the reply for this long from now; 0: send it */
    uint64_t drip_at_ms; /* from now: when the first drip line goes out (drip_next() of policy.h
                          has the rest): `drip` after the turn's begin; 0: no drip */
    bool masked;         /* do not reveal the verdict: send 450 4.7.1 (454 to AUTH) instead */
    bool freeze;         /* R18: may be frozen */
    uint8_t rule;        /* enum tarpit_rule: the rule that decided */
    uint32_t waited_ms;  /* for the caller: of `ms`, what the client has waited already */
    bool would_mask;     /* R20: with would_ms, for the caller; see worker/judge.h */
    uint32_t would_ms;
};

/* R3: how long a greeting, or a reply without offence to EHLO, MAIL or RCPT, waits for a client in
 * debt. A client that has delivered good mail recently waits at MAIL and not before, because R21
 * may spare it there. */
struct tarpit_hold tarpit_wait(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* R21: whether tarpit_wait()'s rule is RULE_CORRESPONDENT, for less: most clients have no offence,
 * and then only their own entry is read. */
bool tarpit_by_correspondent(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* The same as tarpit_wait() for a greeting, and R22: a client that the ledger does not know waits
 * `greet`. Nothing is noted: see tarpit_greeted(). */
struct tarpit_hold tarpit_greet(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* R22: the client has waited for its greeting and said nothing. For `greet_pass` it is known. */
void tarpit_greeted(struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* R4..R7: asks before a verdict is looked up (RCPT, AUTH). `user` is the account that AUTH names
 * (R14); empty for RCPT, for which tarpit_ask_recipient() is better. The caller keeps the permit until
 * the verdict is known, and passes it to tarpit_verdict(). If `masked` is set, the caller must not
 * query the directory; it sends the masked reply, held for hold.ms. */
struct tarpit_permit {
    struct tarpit_hold hold;       /* when masked */
    uint64_t turn_begin, turn_end; /* wall ms; 0: no turn was taken yet */
    double offences;               /* live offences when it was asked for */
    uint64_t cap;                  /* private: R12, R13 as they stood when it was asked for */
    uint64_t stranger_to;          /* R14: the account that does not know where the client comes
                                      from, by its key; 0: none */
    bool masked, shielded;
    bool once;          /* private: R10, a newcomer's one wait */
    bool would_mask;    /* R20: for the caller, see worker/judge.c */
    bool correspondent; /* R21 lets a client in debt pass */
    bool covered;       /* private: R8, given on credit, without a turn of the client's own */
    uint64_t tried;     /* R14: not 0: the password is checked out of turn, even if `masked` */
    bool no_try;        /* R14: it would be, but too many were wrong in the last hour */
    uint64_t mailbox;   /* R26: of RCPT, as tarpit_ask_recipient() was asked; 0: not known */
};
struct tarpit_permit tarpit_ask(struct tarpit *t, const struct tarpit_who *who, struct span user,
                                uint64_t now);

/* The same for a password that the client sends together with its name. If `tried` is set, the
 * caller looks the password up although the permit is masked, and passes the verdict to
 * tarpit_verdict(): a right one is told at once. A wrong one must look as if it had not been
 * looked up, so what the caller says of a masked one comes hold.ms after this call, not after
 * the verdict. */
struct tarpit_permit tarpit_ask_password(struct tarpit *t, const struct tarpit_who *who,
                                         struct span user, uint64_t now);

/* R14, for people: how many passwords of an account, from a network that it knows (the hash of a
 * LEDGER_ACCOUNT_NETWORK key), would be checked out of turn now. `tries` may be NULL. */
uint32_t tarpit_tries_left(const struct tarpit_rules *r, const struct tries *tries, uint64_t known,
                           uint64_t now);

/* The same for RCPT of this mailbox (tarpit_mailbox(); 0: not known). R26: a message that is
 * deferred is recorded, and its retry may wait longer for its turn. */
struct tarpit_permit tarpit_ask_recipient(struct tarpit *t, const struct tarpit_who *who,
                                          uint64_t mailbox, uint64_t now);

/* The verdict is known: `offence` is OFFENCE_NONE for a good one. Books it and returns its hold. A
 * masked permit that is `tried` returns the hold that it came with, and books nothing. */
struct tarpit_hold tarpit_verdict(struct tarpit *t, const struct tarpit_who *who, struct span user,
                                  const struct tarpit_permit *permit, enum offence offence,
                                  uint64_t now);

/* There will be no verdict, because no verifier could answer: a try out of turn (R14) is given
 * back. Not for a client that has hung up before. */
void tarpit_no_verdict(struct tarpit *t, const struct tarpit_who *who,
                       const struct tarpit_permit *permit, uint64_t now);

/* Any other 5xx (R1). */
struct tarpit_hold tarpit_offence(struct tarpit *t, const struct tarpit_who *who,
                                  enum offence offence, uint64_t now);

/* The mailbox of a folded address, for tarpit_good(). */
uint64_t tarpit_mailbox(const struct tarpit *t, struct span folded);

/* The backend accepted a message for these mailboxes (R8). Each mailbox earns credit once a day for
 * the client, and for the pair if it is new today for both. So a client's pairs together never earn
 * more than the client, whatever sender domains it uses. Duplicates in `mailbox` are allowed. */
void tarpit_good(struct tarpit *t, const struct tarpit_who *who, const uint64_t *mailbox,
                 uint32_t count, uint64_t now);

/* The client hung up, or continued without its reply, after a hold of `waited` ms (R12). Less than
 * a second says nothing about patience. The shortest patience counts, so that the least patient of
 * several programs behind one address still gets its reply. */
void tarpit_gave_up(struct tarpit *t, const struct tarpit_who *who, uint64_t waited, uint64_t now);

/* R14: `user` has logged in from `peer`. */
void tarpit_logged_in(struct tarpit *t, const struct tarpit_who *who, const struct addr *peer,
                      struct span user, uint64_t now);

/* R15: raises the client to the shield. A client that has delivered good mail recently pays for
 * some offences instead, because any attacker can make its users' mail reach a trap. As <> it
 * counts with the bounces. R16: gives a suspect client its first offences (once per half-life). */
void tarpit_trapped(struct tarpit *t, const struct tarpit_who *who, uint64_t now);
void tarpit_suspect(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now);

/* R16: a DNS list lists the client. Raises its live offences to at least `offences`; repeated calls
 * add nothing. */
void tarpit_listed(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now);

/* Whether the client has delivered good mail in the last weeks. */
bool tarpit_has_delivered(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* Whether the client has delivered good mail in the last weeks, and is not in debt; or is spared. */
bool tarpit_is_proven(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* Whether it is neither delayed nor booked: it is exempt, also by the ledger, or has logged in. */
bool tarpit_is_spared(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* Whether its mail is wanted, as far as is known: it is exempt, has logged in, or it or its network
 * has delivered good mail recently. */
bool tarpit_in_good_standing(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* Live offences that good mail, of the client or of its correspondent, does not cover; 0: not in
 * debt. For the guard (R17). */
double tarpit_debt(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* How deep in debt the client is, 0 to `levels` - 1, for the guard, which closes the deepest first.
 * R6: clients whose verdicts take turns are all as deep, so whether an offence was just booked makes
 * no difference before its verdict is told. Those on the shield that wait for no verdict are
 * deepest. */
unsigned tarpit_depth(const struct tarpit *t, const struct tarpit_who *who, uint64_t now,
                      unsigned levels);

#endif
