/* Private to src/web: the process as its files see it. */
#ifndef MIRED_WEB_WEB_PART_H
#define MIRED_WEB_WEB_PART_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/loop.h"
#include "config/config.h"
#include "control/actions.h"
#include "control/request.h"
#include "tarpit/ledger.h"
#include "web/control.h"
#include "web/web.h"

enum { WEB_BACKENDS = 64, WEB_LISTS = 64 };

struct web_backend {
    char name[128];
    bool up;
};

/* A `dnsbl` or `dnswl`, and what its test has come to. */
struct web_list {
    char zone[256], state[40];
};

struct http;
struct overview;

struct web {
    struct loop loop; /* first */
    const struct web_params *params;
    struct watch channel;
    struct watch answers; /* of clerks */
    struct watch listen;
    struct control *controls;
    unsigned count; /* of them */
    uint64_t last_tag;
    struct web_backend backend[WEB_BACKENDS]; /* those that were heard of */
    unsigned backends;
    struct web_list list[WEB_LISTS]; /* those that were heard of */
    unsigned lists;
    struct steering steering;
    struct overview *overviews; /* of connections.c, under way */
    struct http *http;          /* NULL: no page */
    struct alarm finish;
    bool finishing;
};

static inline struct web *web_of(struct loop *loop)
{
    return (struct web *)loop;
}

/* Sends a note to the master whose NOTE_RESULT becomes the answer to `c`. */
void web_ask_master(struct web *w, struct control *c, uint32_t kind, int32_t arg, const char *text);

/* Ends the process once it has been told to finish and nobody waits for an answer any more. */
void web_end_when_done(struct web *w);

/* The connection that waits for the answer with this tag; NULL: nobody does any more. */
struct control *web_asker(const struct web *w, uint64_t tag);

/* Carries out a request, now or later. */
void control_run(struct control *c, const struct request *r);

/* recipient.c: begins to take clerks' answers (0 or -errno), and asks. */
int recipient_open(struct web *w);
void run_recipient(struct control *c, const json_t *args);
void run_cache(struct control *c, const json_t *args);

/* connections.c: which connections are open; NOTE_CONNECTIONS and NOTE_CONNECTIONS_TOLD. */
struct note;
void run_connections(struct control *c, const json_t *args);
void connections_asked(const struct web *w, const struct note *n);
void connections_told(const struct web *w, const struct note *n);

/* One entry of the ledger, of a client or a network. */
struct row {
    struct addr who;
    bool network;
    uint8_t bits; /* of a network's prefix; 0: the one that clients are booked with */
    struct ledger_entry entry;
};

/* The entry as mirectl and the page get it; as it is at `now`. */
json_t *entry_json(const struct web *w, const struct row *r, uint64_t now);

/* clients.c: what was counted, as {"held", "frozen", "unanswered", "listed"}; NULL: nobody could
 * be asked. */
json_t *held_json(const struct held *h);

/* clients.c: the ledger's commands. */
void run_clients(struct control *c, const json_t *args);
void run_show(struct control *c, const json_t *args);

/* changes.c: the commands that change it. */
void run_release(struct control *c, const json_t *args);
void run_exempt(struct control *c, const json_t *args);
void run_penalise(struct control *c, const json_t *args);

/* A client or network as the rules see it, whether anything is known of it or not. */
json_t *known_json(const struct web *w, const struct whom *who, uint64_t now);

/* dump.c: the ledger as lines of JSON, out and in. */
void run_ledger(struct control *c, const json_t *args);

/* advise.c: settings that what was seen suggests. */
void run_advise(struct control *c, const json_t *args);
/* observe.c: R20's report. */
void run_observe(struct control *c, const json_t *args);

/* log.c: lines of the log out of the ring. */
void run_log(struct control *c, const json_t *args);

/* The worst clients as a list of objects, at most so many. `exempt`, an array or NULL, gets as many
 * of those whom the ledger (not the configuration) exempts. Goes through all of the ledger. */
json_t *clients_json(const struct web *w, size_t most, const char *sort_by, json_t *exempt);

/* Adds an entry that the ledger exempts to the list, while there are less than `most`. */
void add_exempt(json_t *list, size_t most, const struct ledger_key *key, struct row *r);

/* Whom the command's "address" is about; false: that is no address, and has been said. */
bool read_whom(struct control *c, const json_t *args, struct whom *who);

/* http.c: the page and /metrics. 0 or -errno; an address that cannot be listened on is logged. */
int http_open(struct web *w);
/* Listens no more and ends the streams; what has been asked is answered still. */
void http_finish(struct web *w);
bool http_is_busy(const struct web *w);
void http_close(struct web *w);

/* exposition.c: all metrics in Prometheus' text format. */
void exposition(const struct web *w, struct buf *out);

/* `status` as an object, or NULL without memory. */
json_t *status_json(const struct web *w);

/* Why mail to people who exist is put off now; NULL: it passes. A backend that was never tried
 * counts as up. Static. */
const char *status_mail_waits(const struct web *w);

/* Whether all clerks could ask the directories of that kind. */
bool web_directory_is_up(const struct web *w, enum recipients_kind kind);

#endif
