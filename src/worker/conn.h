/* Inside the worker: one connection, and the worker that it belongs to. Not for other rooms.
 *
 * A connection is made to wait cheaply. What every one has is `struct conn` (a slab object); what
 * only a busy one needs (unread input, unsent output, a question to a clerk, a message) hangs on it
 * as `struct work` and is given back when nothing is in flight. A held harvester is thus a conn and
 * its envelope's few words.
 *
 *   conn.c      accept, the stepping loop, close        io.c       octets in and out
 *   hold.c      replies kept back, drip, release        guard.c    room for those not in debt
 *   freeze.c    to the freezer and back                 parked.c   TLS states of frozen ones
 *   recipient.c verdicts on RCPT   login.c  on AUTH     asks.c     questions to the clerks
 *   ration.c    how many lines a client is worth   ident.c  names of sessions and messages
 *   auth_queue.c     strangers who ask about one account    accounts.c  what verifiers call
 * accounts message.c   spool, hand-over, what became of it     journal.c  the session's log line
 *   proxied.c   clients behind a balancer               room.c     what one client may take
 *   suspects.c  networks that start with offences    lists.c  what the DNS says of a client
 *   tls.c       handshakes, octets under TLS    tls_server.c  certificates    shakes.c  their pace
 *   worker.c    the process: listeners, control, ending */
#ifndef MIRED_WORKER_CONN_H
#define MIRED_WORKER_CONN_H

#include <assert.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/loop.h"
#include "base/ring.h"
#include "base/slab.h"
#include "dns/names.h"
#include "query/query.h"
#include "relay/relay.h"
#include "relay/spool.h"
#include "smtp/session.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"
#include "worker/accounts.h"
#include "worker/auth_queue.h"
#include "worker/budget.h"
#include "worker/shakes.h"
#include "worker/suspects.h"
#include "worker/worker.h"

struct config;
struct freezing;
struct lists;
struct log_line;
struct stashed_tls;
struct rations;
struct worker;

enum conn_phase {
    CONN_READING, /* waits for the client's octets */
    CONN_HELD,    /* a ready reply is kept back */
    CONN_ASKING,  /* a clerk has been asked */
    CONN_HANDING, /* a backend has the message */
    CONN_CLOSING, /* ends as soon as its output is out */
    CONN_SHAKING, /* TLS is being agreed on */
    CONN_PROXY,   /* a balancer is to say who the client is */
};

enum conn_flag {
    CONN_EXEMPT = 1,       /* by configuration, or by what the DNS says (lists.c) */
    CONN_READ_OFF = 2,     /* input has come that is not wanted yet; EPOLLIN is off */
    CONN_SEEN_END = 4,     /* the client has ended its side */
    CONN_GREETING = 8,     /* the greeting has not gone out yet */
    CONN_HOLD_SET = 16,    /* work->hold is the decision for the reply that comes next */
    CONN_LOOKED_UP = 32,   /* a look-up may still know it: see lists_forget() */
    CONN_RUNNING = 64,     /* conn_run() is on the stack */
    CONN_FREEZE = 128,     /* this hold may be frozen */
    CONN_TLS = 256,        /* octets go through worker->tls */
    CONN_TLS_LATER = 512,  /* CONN_SHAKING, and not to begin before its timer */
    CONN_TLS_WRITE = 1024, /* TLS waits for room to write before it reads on */
    CONN_PROXIED = 2048,   /* its socket is a balancer's */
};

struct login;
struct query;

/* What a connection has only while something is in flight. */
struct work {
    struct buf in;           /* read and not yet used */
    struct buf out;          /* to be sent */
    struct tarpit_hold hold; /* with CONN_HOLD_SET */
    struct query *query;
    struct login *login;   /* a SCRAM login has begun */
    struct worker *worker; /* for the relay's call back */
    struct spool *spool;
    uint64_t window; /* octets of the message since the timer was set; see io_keeps_pace() */
    struct handover *handover;
    uint32_t declared;  /* SIZE of the message in hand */
    uint64_t handed_us; /* when the hand-over began */
    uint32_t handed_recipients;
};

struct conn {
    struct watch watch;
    struct alarm alarm;
    struct smtp_session smtp;
    struct ring link;  /* in a ring of the guard while CONN_HELD, else in worker->awake */
    struct work *work; /* NULL while nothing is in flight */
    struct addr peer;
    uint32_t since_ms; /* when this phase began: the low bits of loop->now, see conn_waited() */
    uint32_t opened_s; /* wall seconds; with `peer` the session's name, see ident.h */
    uint32_t held_ms;  /* in all */
    uint16_t listener; /* into worker->service */
    uint16_t offences;
    uint16_t messages;
    uint16_t
        last_code; /* of the last reply to RCPT or the data, or of a refusal since; for the log */
    uint32_t hold_ms : 20;       /* from since_ms on: when the held reply goes out */
    uint32_t flags : 12;         /* enum conn_flag */
    uint32_t drip_after_ms : 20; /* from since_ms on: when its first line may; 0: no drip */
    uint32_t drip_lines : 6;     /* that have gone out */
    uint32_t phase : 3;          /* enum conn_phase */
    uint32_t envelope : 3;       /* what is counted of its envelope; see room_count_envelope() */
};

enum { CONN_HOLD_MAX_MS = (1 << 20) - 1 };
static_assert((int)POLICY_HOLD_MAX <= (int)CONN_HOLD_MAX_MS && POLICY_DRIP_LINES < 1 << 6,
              "fields hold it");

/* The budget is 256 octets a held connection (DESIGN section 11): this, and the envelope's block,
 * which for a harvester (HELO, MAIL, the refused address) is 48 to 64. */
static_assert(sizeof(struct conn) <= 176, "a held connection must stay within its budget");

enum { GUARD_LEVELS = 64 };

/* Held connections in order of their clients' debt, and how many each client has here. */
struct guard {
    struct ring level[GUARD_LEVELS]; /* oldest first */
    uint64_t busy; /* a bit for each level with someone in it, and for some that have none left */
    uint32_t held;
    uint16_t *client; /* held connections by a hash of the client: 2^client_bits counters */
    unsigned client_bits;
};

/* TLS states whose connections are frozen. */
struct tls_stash {
    struct stashed_tls **at;
    uint32_t *spare; /* places that are free, `spares` of them */
    uint32_t places, spares, count, serial;
};

struct worker {
    struct loop loop;
    const struct worker_params *params;
    const struct config *config;
    struct slab conns;
    struct smtp_service *service; /* one for each `listen` */
    struct tarpit tarpit;
    struct relay *relay;
    struct queries *queries;
    struct auth_queue *auth_queue;
    struct accounts *accounts;
    uint32_t auth; /* enum smtp_auth: what the services offer now */
    struct guard guard;
    struct budget *budget;
    bool spool_is_short; /* see room_look_after() */
    struct suspects suspects;
    struct rations *rations; /* of lines of the log; see journal.c */
    struct alarm ration_alarm;
    struct lists *lists;       /* NULL: nothing is asked of the DNS */
    struct freezing *freezing; /* NULL: no freezer */
    struct tls_stash stash;
    struct spool_room spool_room;
    SSL **tls; /* by descriptor; NULL where there is none */
    size_t tls_places;
    struct shakes shakes;
    struct watch *listeners;
    struct watch control;
    struct alarm stop_alarm, accept_alarm, offer_alarm;
    uint64_t warn_of_proxy; /* loop ms: not before */
    /* Events without progress: those that the metric has, and those of a second; see tell_idle().
     */
    uint64_t idle_told, idle_before, idle_since, warn_of_idle;
    struct ring awake; /* the connections that are not held */
    uint32_t open;
    uint32_t open_max, held_max, held_per_client, open_reserve_from;
    bool called; /* to serve: it does as soon as it knows what to offer */
    bool offers; /* ... and that it knows */
    bool serving, draining, stopping;
    size_t input_in_use;   /* octets of `input` that the connection at work goes by */
    char input[64 * 1024]; /* read into by whichever connection is at work */
};

static inline struct worker *worker_of(struct loop *loop)
{
    return (struct worker *)((char *)loop - offsetof(struct worker, loop));
}

/* ---- worker.c ---- */

/* A connection has gone, or is not coming back: a draining worker ends after its last one. */
void worker_may_end(struct worker *w);

/* ---- conn.c ---- */

/* A connection of this descriptor, watched, session not started; NULL without room for it. */
struct conn *conn_new(struct worker *w, int fd, uint16_t listener, const struct addr *peer,
                      bool exempt);

/* The loop's look ahead (loop.h): asks memory for what is known of the client, whose words come
 * soon. */
void conn_prefetch(struct loop *loop, const struct watch *watch);

/* Takes over an accepted descriptor. Closes it when there is no room. */
void conn_accept(struct worker *w, int fd, uint16_t listener, const struct addr *peer);

/* The client is known: lets its session begin. May free the connection. */
void conn_greet(struct worker *w, struct conn *c);

/* Steps the session as far as it goes without waiting. May free the connection. */
void conn_run(struct worker *w, struct conn *c);

/* The same with new input: w->input[0..have), what was kept from earlier reads in front of it. */
void conn_run_input(struct worker *w, struct conn *c, size_t have);

/* Gives back the work that is not in flight. */
void conn_rest(struct conn *c);

/* Puts the reply into the output and counts it; false without memory. */
bool conn_say(struct conn *c, const struct reply *r);
/* The same for the end of a reply that has dripped. */
bool conn_say_end(struct conn *c, const struct reply *r);

/* Takes the connection out of the worker without a word; its descriptor stays open and is returned.
 */
int conn_detach(struct worker *w, struct conn *c);

/* Frees everything; logs the session. */
void conn_close(struct worker *w, struct conn *c, const char *why);

/* The connection's timer has come. */
void conn_due(struct loop *loop, struct alarm *a);

/* Tells the client `id` (421 ...) whatever it was doing, and closes. */
void conn_shut(struct worker *w, struct conn *c, enum reply_id id);

static inline struct conn *conn_of_link(struct ring *link)
{
    return (struct conn *)((char *)link - offsetof(struct conn, link));
}

/* How long the connection has been in its phase, in ms. */
static inline uint64_t conn_waited(const struct worker *w, const struct conn *c)
{
    return (uint32_t)w->loop.now - c->since_ms;
}

void conn_phase(struct worker *w, struct conn *c, enum conn_phase phase, uint64_t timer_ms);

/* Whether nobody of that address is delayed: by its network, or by what the DNS is known to say. */
bool conn_is_exempt(const struct worker *w, const struct addr *peer);

/* The same, or by the ledger, or logged in: its offences are not booked. */
bool conn_is_spared(struct worker *w, const struct conn *c);

/* Who it is, by what is known now: a connection may become exempt at any reply. */
struct tarpit_who conn_who(struct worker *w, struct conn *c);

/* The domain of MAIL FROM; empty for <>, and before MAIL. */
struct span conn_sender_domain(const struct conn *c);

/* The connection's work, made when there is none; NULL without memory. */
struct work *conn_work(struct conn *c);

/* ---- io.c ---- */

void io_ready(struct loop *loop, struct watch *watch, uint32_t events);
/* Sends what is in work->out; false when the connection is gone (and closed). */
bool io_flush(struct worker *w, struct conn *c);
/* Asks epoll for what the phase needs. */
void io_want(struct worker *w, struct conn *c);
/* The timer of a client that sends a message: whether it has sent enough of it since the timer was
 * set (`data_rate`). It is set again then. */
bool io_keeps_pace(struct worker *w, struct conn *c);
/* Nothing more comes from us: says so, under TLS too. */
void io_end(struct worker *w, struct conn *c);
/* Sends a last line regardless of the connection's state, as far as the socket takes it. */
void io_last_words(struct worker *w, struct conn *c, enum reply_id id);

/* ---- proxied.c ---- */

/* Whether this peer is a balancer that this listener believes. */
bool proxied_is_balancer(const struct worker *w, uint16_t listener, const struct addr *peer);
/* A balancer has sent something: its header is taken, and the client greeted. `ended`: the
 * balancer has ended its side. May free it. */
void proxied_ready(struct worker *w, struct conn *c, bool ended);

/* ---- lists.c ---- */

/* False without memory. Whatever else is wrong is warned about, and then nothing is looked up. */
bool lists_open(struct worker *w);
void lists_close(struct worker *w);
/* The client is about to be greeted: what is known of it counts from now on, and what is not is
 * asked. Waits for nothing, frees nothing. */
void lists_greet(struct worker *w, struct conn *c);
/* Whether an allow-list or a confirmed name is known to speak for that address. */
bool lists_trust(const struct worker *w, const struct addr *peer);
/* Says again what the tests of lists have come to. */
void lists_tell_again(const struct worker *w);
/* The connection ends. */
void lists_forget(struct worker *w, const struct conn *c);
/* Appends what names that address as bad, with commas between: zones of `dnsbl` that are known to,
 * and "suspect:NETWORK" for a network of `suspect`. */
void lists_names(const struct worker *w, const struct addr *peer, struct buf *names);
/* The client's names, as a backend is told them. True: they are being looked up. */
bool lists_client_names(const struct worker *w, const struct addr *peer, struct client_names *out);
/* Adds `listed` and `trusted` where something is known. */
void lists_journal(const struct worker *w, const struct addr *peer, struct log_line *l);

/* ---- tls.c ---- */

/* The handshake comes next: the loop begins it, for a client in debt when its turn has come, and
 * with `waits` not before R3 lets it. False: so many are before it that it has been closed. */
bool tls_begin(struct worker *w, struct conn *c, bool waits);
/* The timer of CONN_SHAKING, and its descriptor, have something; `ended`: the client has ended its
 * side. May free the connection. */
void tls_due(struct worker *w, struct conn *c);
void tls_step(struct worker *w, struct conn *c, bool ended);
/* As recv() and send() without waiting; errno is EAGAIN or ECONNRESET. With CONN_TLS only. */
ssize_t tls_recv(struct worker *w, struct conn *c, char *at, size_t room);
ssize_t tls_send(struct worker *w, struct conn *c, const char *at, size_t len);
/* Whether TLS could not read on for want of room to write (as after a client's KeyUpdate). */
bool tls_waits_to_write(const struct worker *w, const struct conn *c);
/* The client has left: a handshake that nothing has come of counts for the pace of the next ones.
 */
void tls_left(struct worker *w, struct conn *c);
/* Tells the client that nothing more comes (close_notify). */
void tls_end(struct worker *w, struct conn *c);
void tls_free(struct worker *w, struct conn *c);
/* Writes what TLS has that SCRAM can be bound to, `room` octets at most, and returns how many; 0:
 * none of that kind. */
size_t tls_binding(const struct worker *w, const struct conn *c, enum scram_binding kind, void *out,
                   size_t room);
/* The connection's TLS state; NULL when there is none, or octets are under way in it. */
SSL *tls_at_rest(struct worker *w, struct conn *c);
/* Takes it from the connection: it is the caller's. */
void tls_let_go(struct worker *w, struct conn *c);
/* Gives a connection over another descriptor its TLS state back; false, and it is freed, without
 * memory. */
bool tls_attach(struct worker *w, struct conn *c, SSL *ssl);
/* "TLSv1.3", for the log. */
const char *tls_version(const struct worker *w, const struct conn *c);

/* ---- hold.c ---- */

enum hold_outcome { HOLD_NONE, HOLD_HELD, HOLD_GONE };
/* Decides whether the reply waits: NONE: send it now; HELD; GONE: there was no room to hold it, the
 * connection is closed. */
enum hold_outcome hold_reply(struct worker *w, struct conn *c, const struct reply *reply);
/* A hold that was begun elsewhere goes on here for `left` ms; c->since_ms is when it began. May
 * free it. */
void hold_resume(struct worker *w, struct conn *c, uint64_t left);
/* The hold's timer: a drip line, or the end. */
void hold_due(struct worker *w, struct conn *c);
/* Sends a held reply now. May free the connection. */
void hold_release(struct worker *w, struct conn *c);
/* The held client has hung up. Frees the connection. */
void hold_gave_up(struct worker *w, struct conn *c);
/* The held client has sent something: before the greeting that is an offence. May free the
 * connection. */
void hold_spoken(struct worker *w, struct conn *c);
/* The held client is told something else and goes. Only bookkeeping: frees nothing. */
void hold_end(struct worker *w, struct conn *c);

/* ---- freeze.c ---- */

/* Whether a hold of this connection could be frozen at all. */
bool freeze_may(const struct worker *w, const struct conn *c);
/* Hands a held connection to the freezer: true when it will go with the batch of this turn. */
bool freeze_try(struct worker *w, struct conn *c);
/* Sends the batch; called at the end of each turn. */
void freeze_flush(struct worker *w);
/* 0 or -errno. */
int freeze_open(struct worker *w);
/* Begins to take connections back. 0 or -errno. */
int freeze_start_taking(struct worker *w);
/* Takes no more back: another worker has the slot, or will have. */
void freeze_stop_taking(struct worker *w);
void freeze_close(struct worker *w);

/* ---- parked.c ---- */

struct tls_stash_handle {
    uint32_t place, serial;
};

/* Keeps a TLS state, which is the caller's until then, up to `until` (loop time). False without
 * memory. */
bool tls_stash_put(struct worker *w, SSL *ssl, uint64_t until, struct tls_stash_handle *out);
/* Gives it to the caller; NULL when this handle's is not here (any more). */
SSL *tls_stash_take(struct worker *w, struct tls_stash_handle h);
void tls_stash_close(struct worker *w);

/* ---- guard.c ---- */

/* Room for one more connection of this client? false: it is to be told 421. May close held ones. */
bool guard_admit(struct worker *w, const struct addr *peer, bool exempt);
/* Room for one more held connection of it? May close others. */
bool guard_hold(struct worker *w, struct conn *c);
void guard_release(struct worker *w, struct conn *c);
/* False without memory. */
bool guard_open(struct guard *g);
void guard_close(struct guard *g);
/* At the end of a turn, when no connections stand in a ring that guard_gather() filled: makes more
 * counters where more are held. */
void guard_grow(struct worker *w);
/* Moves the held connections of a network (NULL: all) into `to`, for who is going to end their
 * holds. One that ends by itself meanwhile leaves that ring as it would leave the guard's. */
void guard_gather(struct worker *w, const struct network *n, struct ring *to);
/* How many held connections a network has. Goes through all that are held and moves none. */
uint32_t guard_count(const struct worker *w, const struct network *n);
/* Closes the held connection of the client deepest in debt, or, when none is held, one whose client
 * has been silent; false when there is no such. */
bool guard_evict(struct worker *w);

/* ---- room.c ---- */

/* False without memory. */
bool room_open(struct worker *w);
void room_close(struct worker *w);
/* Whether this client may have one more connection. */
bool room_for_connection(const struct worker *w, const struct addr *peer);
/* A connection of c->peer has come (1) or gone (-1). */
void room_count(struct worker *w, const struct conn *c, int by);
/* Closes a connection whose client has been silent; false when there is none. Not while a
 * connection is at work: that may be the one. */
bool room_evict(struct worker *w);
/* Whether the message may have that many octets more; and they have come, or gone. */
bool room_for_octets(struct worker *w, struct conn *c, uint64_t octets);
void room_count_octets(struct worker *w, const struct conn *c, int64_t octets);
/* At the end of a turn: when the spool is short of room, a client that has stopped in the middle of
 * its message makes some. */
void room_look_after(struct worker *w);
/* The envelope has so many octets; and whether one more recipient may be taken. */
void room_count_envelope(struct worker *w, struct conn *c, uint32_t octets);
bool room_for_recipient(struct worker *w, const struct conn *c);

/* ---- asks.c ---- */

struct query {
    uint64_t id;
    uint64_t login_id; /* QUERY_SCRAM: 0, or whom it goes on with */
    struct conn *conn;
    struct query *next_waiting; /* the queue to the clerks was full */
    struct ring standing;       /* AUTH_QUEUE_STANDS */
    uint16_t kind;              /* enum query_kind */
    uint64_t strangers;         /* auth_queue.c: the line of a stranger to an account */
    uint64_t asked_ms;          /* loop ms: when the client asked */
    uint8_t queue;              /* enum query_queue */
    uint8_t auth_queue, line;   /* auth_queue.c: enum auth_queue_place, and where */
    bool placed, sent;
    struct tarpit_permit permit;
    uint16_t kept_len;              /* for ourselves: the address as written, or the user */
    uint16_t first_len, second_len; /* what is asked: see ask.h */
    char text[];                    /* these three */
};

/* A question of these texts (the second may be a password: it is wiped with it); NULL without
 * memory. */
struct query *query_new(enum query_kind kind, const struct tarpit_permit *permit, struct span kept,
                        struct span first, struct span second);

/* Asks it, or lets it stand in line, and waits; false, and it is freed, when that cannot be done.
 */
bool query_ask(struct worker *w, struct conn *c, struct query *q);
/* It has stood in line, and is the next. May free its connection. */
void query_next(struct worker *w, struct query *q);

struct queries *queries_open(struct worker *w);
void queries_close(struct queries *a);
/* Sends the question, or queues it. False without memory, or when the one clerk that could answer
 * has too much to do. */
bool queries_put(struct worker *w, struct query *q);
/* Forgets a question whose connection goes, and frees it. */
void queries_drop(struct worker *w, struct query *q);

/* A clerk's answer (NULL: none came in time) to c->work->query. */
void query_answered(struct worker *w, struct conn *c, const struct answer *a);

/* ---- recipient.c ---- */

/* Answers SMTP_RECIPIENT; true when the answer is there already. */
bool recipient_begin(struct worker *w, struct conn *c, const struct smtp_step *step);
void recipient_answered(struct worker *w, struct conn *c, const struct query *q,
                        const struct answer *a);
/* The hold of a verdict's reply, which comes next. */
void verdict_hold(struct conn *c, struct tarpit_hold hold);
/* The tarpit has given no leave to look: counts that, and holds the masked reply. */
void verdict_masked(struct conn *c, const struct tarpit_permit *permit);

/* ---- login.c ---- */

/* Answer SMTP_PASSWORD and SMTP_SCRAM; true when the answer is there already. */
bool login_begin(struct worker *w, struct conn *c, struct smtp_step *step);
bool login_scram(struct worker *w, struct conn *c, struct smtp_step *step);
void login_answered(struct worker *w, struct conn *c, const struct query *q,
                    const struct answer *a);
/* A question has stood in line: what has become of its account meanwhile? False: it is not to be
 * asked any more, and the session has its answer. */
bool login_judged(struct worker *w, struct conn *c, struct query *q);
/* Frees what there is of a SCRAM login. */
void login_forget(struct conn *c);
/* Before the next reply, or the end: a SCRAM login that its client has dropped after our first
 * message is booked. `booked`: the reply is an offence of AUTH by itself. */
void login_dropped(struct worker *w, struct conn *c, bool booked);
/* What the services offer follows what the clerks can check. */
void login_offers(struct worker *w);

/* ---- message.c ---- */

bool message_begin(struct worker *w, struct conn *c);
void message_add(struct worker *w, struct conn *c, struct span body);
void message_void(struct worker *w, struct conn *c);
/* True when the outcome is known already (nothing to wait for). */
bool message_end(struct worker *w, struct conn *c);
/* The timer of CONN_HANDING: a message that has waited for its client's names goes on. */
void message_due(struct worker *w, struct conn *c);
void message_forget(struct worker *w, struct conn *c);

/* ---- journal.c ---- */

/* False without memory. */
bool journal_open(struct worker *w);
void journal_close(struct worker *w);
void journal_session(struct worker *w, struct conn *c, const char *why);
void journal_hold(struct worker *w, const struct conn *c, const struct reply *reply, uint64_t ms);
/* A recipient that is not taken: `code` is what the client hears, `why` one word. */
struct refusal {
    struct span address;
    int code;
    const char *why;
    struct span text; /* the backend's words, or empty */
    struct tarpit_hold hold;
};
void journal_refused(struct worker *w, const struct conn *c, const struct refusal *r);
void journal_message(struct worker *w, const struct conn *c, const struct relay_result *result,
                     uint64_t us);

#endif
