/* Private to src/control: functions that its files share. */
#ifndef MIRED_CONTROL_CONTROL_PART_H
#define MIRED_CONTROL_CONTROL_PART_H

#include "control/request.h"
#include "control/socket.h"
#include "control/steering.h"

/* command.c: carries out a request, now or later. */
void control_run(struct control *c, const struct request *r);

/* The tag of the next question: not 0, and of no question that waits. Tags begin with the time in us,
 * so a late answer to a process that has died never matches a question of ours. */
uint64_t steering_tag(struct steering *s);

/* Sends a note to the master whose NOTE_RESULT becomes the answer to `c`. */
void steering_ask_master(struct steering *s, struct control *c, uint32_t kind, int32_t arg,
                         const char *text);

/* The connection that waits for the answer with this tag; NULL if none does any more. */
struct control *steering_asker(const struct steering *s, uint64_t tag);

/* recipient.c: begins to take clerks' answers (0 or -errno), and asks. */
int recipient_open(struct steering *s);
void run_recipient(struct control *c, const json_t *args);

/* Asks the directories for a folded address of a local domain; `answered` is called with the
 * answer, from the loop, and may ask again. Where there will be none, the command has failed and
 * `drop_arg` (or NULL) is called. */
struct answer;
typedef void recipient_answered(struct control *c, const struct answer *a, void *arg);
void recipient_ask(struct control *c, struct span folded, recipient_answered *answered, void *arg,
                   void (*drop_arg)(void *arg));

/* traps.c: unknown recipients that many strangers try. */
void run_traps(struct control *c, const json_t *args);
void run_cache(struct control *c, const json_t *args);

/* route.c: what serves an address. */
void run_route(struct control *c, const json_t *args);

/* connections.c: which connections are open; NOTE_CONNECTIONS and NOTE_CONNECTIONS_TOLD. */
struct note;
void run_connections(struct control *c, const json_t *args);
void connections_asked(const struct steering *s, const struct note *n);
void connections_told(const struct steering *s, const struct note *n);

/* One entry of the ledger, of a client or a network. */
struct row {
    struct addr who;
    bool network;
    uint8_t bits; /* of a network's prefix; 0: the one that clients are booked with */
    struct ledger_entry entry;
};

/* The entry for mirectl and the page, with its amounts at `now`. */
json_t *entry_json(const struct steering *s, const struct row *r, uint64_t now);

/* Adds an entry that the ledger exempts to the list, while there are less than `most`. */
void add_exempt(json_t *list, size_t most, const struct ledger_key *key, struct row *r);

/* The client or network of the command's "address"; false if it is not an address, which has then
 * been reported. */
bool read_whom(struct control *c, const json_t *args, struct whom *who);

/* clients.c: the ledger's commands. */
void run_clients(struct control *c, const json_t *args);
void run_show(struct control *c, const json_t *args);

/* account.c: `show` and `release` of an account (R23). False: the name is no account's, but a wrong
 * address; then that has been said. */
bool is_account(const char *text);
void show_account_of(struct control *c, const char *name);
void release_account(struct control *c, const char *name);

/* Releases an account because another member has said so (R25). An order that comes again within
 * ACCOUNT_ORDER_MS is refused (false), so that a member that lies cannot make an allowance much
 * larger. *r is set in both cases. */
struct account_released {
    char name[256];           /* the account's own name, cut */
    unsigned forgotten, kept; /* networks */
    uint64_t common;          /* the id of its allowance that members have in common; 0: no fleet */
};
bool account_release_ordered(struct steering *s, const char *name, struct account_released *r);

/* changes.c: the commands that change it. */
void run_release(struct control *c, const json_t *args);
void run_exempt(struct control *c, const json_t *args);
void run_penalise(struct control *c, const json_t *args);

/* dump.c: the ledger as lines of JSON, out and in. */
void run_ledger(struct control *c, const json_t *args);

/* advise.c: settings that the ledger and the counters suggest. */
void run_advise(struct control *c, const json_t *args);

/* members.c: how the fleet is; and another member's order. */
void run_fleet(struct control *c, const json_t *args);
void steering_order(struct steering *s, const struct note *n);

/* observe.c: R20's report. */
void run_observe(struct control *c, const json_t *args);

/* log.c: lines of the log out of the ring. */
void run_log(struct control *c, const json_t *args);

#endif
