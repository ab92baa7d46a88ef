/* Steering: everything that an administrator sees of mired and does to it, for the control socket
 * and for the page. The part of the web process without HTTP.
 *
 * It has one loop. A command for the master goes to it as a note with a tag; the note that comes
 * back with the same tag is the answer. */
#ifndef MIRED_CONTROL_STEERING_H
#define MIRED_CONTROL_STEERING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "config/config.h"
#include "control/holders.h"
#include "control/members.h"
#include "control/undo.h"
#include "control/whom.h"
#include "tarpit/ledger.h"

enum { STEERING_BACKENDS = 1024, STEERING_LISTS = 64, STEERING_ACCOUNTS = 256 };

struct allowances;
struct control;
struct counts;
struct log_ring;
struct metrics;
struct observed;
struct tried;
struct tries;
struct overview;

/* The user that the processes of a role run as; the last one is for all roles that are not named. */
struct steering_user {
    const char *role, *name;
};

struct steering_params {
    const struct config *config;
    int control;        /* channel to the master */
    int control_listen; /* the control socket, listening; the master's */
    int ask, answer;    /* queries to the clerks and their answers, as for workers */
    uint16_t answer_slot;
    uint32_t generation; /* of the configuration */
    const struct metrics *metrics;
    const struct counts *counts; /* messages of each backend */
    struct ledger *ledger;
    struct proposals *const *proposals; /* one for each worker; only read */
    uint32_t workers;
    struct observed *observed;
    struct tried *tried;
    const struct tries *tries;  /* R14: passwords out of turn; only read */
    const struct log_ring *log; /* NULL: there is none */
    const struct steering_user *users;
    size_t user_count;
    uint64_t started_ms; /* wall time of the master's start */
    bool confirmed;      /* files may be much shorter than before: see list_file_open() */
};

struct steering_backend {
    char name[128];
    bool up;
};

/* A `dnsbl` or `dnswl`, and its state by its test. */
struct steering_list {
    char zone[256], state[40];
};

/* An account that another member has had released. */
struct steering_account {
    uint64_t hash, at_ms; /* monotonic; hash 0: free */
};

struct steering {
    struct loop loop; /* first */
    const struct steering_params *params;
    struct watch answers; /* of clerks */
    struct watch listen;
    struct control *controls;
    unsigned count;                                     /* of them */
    uint32_t last_tag;                                  /* steering_tag() */
    struct steering_backend backend[STEERING_BACKENDS]; /* those that were heard of */
    unsigned backends;
    struct steering_list list[STEERING_LISTS]; /* those that were heard of */
    unsigned lists;
    struct undo *undo; /* NULL without memory: nothing can be taken back */
    struct holders holders;
    struct members_asks members; /* R25 */
    bool ordered; /* the current action is another member's order, so it is not passed on */
    struct steering_account account[STEERING_ACCOUNTS];
    struct allowances *allowances; /* NULL without memory */
    struct alarm allowances_alarm;
    struct overview *overviews; /* of connections.c, under way */
    bool finishing;
    void (*ended)(struct loop *loop); /* a connection of the control socket has ended */
};

static inline struct steering *steering_of(struct loop *loop)
{
    return (struct steering *)loop;
}

/* Begins to accept connections and to read clerks' answers, on s->loop, which must be open. Returns
 * 0 or -errno. */
int steering_open(struct steering *s, const struct steering_params *params,
                  void (*ended)(struct loop *loop));

/* Reads the file of allowances, or its copy, which workers write. Call it before the loop runs, when
 * this process is confined. 0 or -errno. */
int steering_begin(struct steering *s);
void steering_close(struct steering *s);

/* Accepts no more connections; those that wait for an answer stay until they have it. */
void steering_finish(struct steering *s);

/* Handles a note from the master. */
void steering_note(struct steering *s, const struct note *n);

/* ---- reports ---- */

/* How fast amounts fade by the configuration. */
struct ledger_decay steering_decay(const struct steering *s);

/* `status` as an object, or NULL without memory. */
json_t *status_json(const struct steering *s);

/* What would have waited since `since` (wall ms) while `observe` was on (R20); NULL without
 * memory. Goes through all of state/observed. */
json_t *observed_json(const struct steering *s, uint64_t since, uint64_t now);

/* Computes the time `text` ("7d"; also for NULL) before `now`; false if it is not a duration. */
bool observed_since(const char *text, uint64_t now, uint64_t *since);

/* Why mail to existing people is deferred now; NULL if it passes. A backend that was never tried
 * counts as up. Static. */
const char *status_mail_waits(const struct steering *s);

/* What is known of a backend; NULL: nothing yet. */
const struct steering_backend *steering_backend_of(const struct steering *s, const char *name);

/* How many changes of the ledger the keeper has yet to make. */
uint64_t status_waiting(const struct steering *s);

/* Whether all clerks could reach the directories of that kind. */
bool status_directory_is_up(const struct steering *s, enum recipients_kind kind);

/* The worst clients as a list of at most `most` objects. `exempt`, an array or NULL, gets as many
 * of those that the ledger (not the configuration) exempts. Reads the whole ledger. */
json_t *clients_json(const struct steering *s, size_t most, const char *sort_by, json_t *exempt);

/* What the rules say of a client or network, whether it is known or not. */
json_t *known_json(const struct steering *s, const struct whom *who, uint64_t now);

/* What is known of an account (R23), and whether anything is; NULL without memory. Goes through all
 * of the ledger. */
json_t *account_json(const struct steering *s, struct span name, bool *known);

/* How many accounts look stolen now (R23). Goes through all of the ledger. */
unsigned stolen_accounts(const struct steering *s);

/* A count as {"held", "frozen", "unanswered", "listed"}; NULL if no process could be asked. */
json_t *held_json(const struct held *h);

#endif
