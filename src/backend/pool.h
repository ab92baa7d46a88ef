/* Connections to backends, kept open and shared by all messages of a worker.
 *
 * A backend has links (connections) and a line of deliveries that wait for one, in which clients
 * take turns. A link is busy for the milliseconds of one burst. The pool learns a backend's state and
 * extensions by connecting to it. Runs in a worker's loop; not thread-safe. */
#ifndef MIRED_BACKEND_POOL_H
#define MIRED_BACKEND_POOL_H

#include <openssl/types.h>

#include "base/loop.h"
#include "config/config.h"
#include "query/fair.h"
#include "smtp/client.h"

struct addresses;
struct backend;
struct link;
struct sharing;

enum {
    POOL_COMPLAINT_MS = 60000, /* between two log lines about a backend's complaints */
    POOL_CONNECT_MS = 10000,
    POOL_REPLY_MS = 60000,     /* to each command before the data */
    POOL_COMMANDS_MS = 270000, /* to all of these together */
    /* to the final dot: below the client's own 10 minutes (RFC 5321 4.5.3.2.6) */
    POOL_FINAL_MS = 540000,
    POOL_WRITE_MS = 60000, /* without progress */
    POOL_IDLE_MS = 60000,  /* kept open unused */
    POOL_WAIT_MS = 60000,  /* a delivery for a free link */
    POOL_YOUNG_MS = 2000,  /* on a younger connection "no such user" is current */
    POOL_RETRY_MS = 1000,  /* first attempt after a backend went down; doubles */
    POOL_RETRY_MAX_MS = 10000,
    POOL_LIMITED_MS = 5000, /* after a refused link: no more of them than were served */
    POOL_SERVES_MS = 30000, /* a backend that has said something so lately serves its links */
    POOL_LEFT_MS = 1000,    /* a backend may count a connection that was closed */
    POOL_SHARE_MS = 500,    /* between two looks whether another worker wants a link */
    POOL_SILENT_MS = 1000,  /* without a greeting: others are asked for a link */
    POOL_PROBE_MS = 1000,   /* between two links in mired's own name after refusals of clients */
    POOL_GIVE_MS = 1000,    /* no link is opened after one was closed for another worker */
    /* No link is given after one that was accepted in the place of a given one. Shorter than
     * POOL_DOUBT_MS, so that a worker with a need gets its link. */
    POOL_DEAF_MS = 10000,
    POOL_ASK_MS = 200,            /* first attempt to get a link that others were asked for */
    POOL_ASK_MAX_MS = 600,        /* then less, down to POOL_ASK_MS */
    POOL_DOUBT_MS = 30000,        /* others say that the backend works: so long they are believed */
    POOL_LIMIT_TELL_MS = 3600000, /* between two log lines about a backend's limit */
    /* broken connections of one delivery before its data, as when a server restarts */
    POOL_BREAKS_MAX = 3,
    /* messages one after the other that BDAT has failed for: then DATA is used */
    POOL_CHUNK_FAILURES_MAX = 3,
};

/* One message for a backend. It is the first member of the struct that the pool's owner keeps for
 * the message. */
struct delivery {
    struct fair_item turn;   /* in its backend's line */
    struct backend *backend; /* the one it waits for or runs on; NULL: none */
    struct link *link;       /* the link that sends it; NULL: it waits */
    struct alarm alarm;      /* its callback belongs to the owner: it has waited too long */
    struct job job;
    uint64_t until_ms; /* so long it waits for a link */
    uint64_t back_ms;  /* when it stands aside: it comes back to the line then */
    struct delivery *aside_next,
        **aside_prev;   /* of those that stand aside; prev NULL: it does not */
    struct addr client; /* who takes turns in the line */
    /* Octets of the message from `offset` on, as spool_read(). */
    struct span (*read)(void *message, uint64_t offset);
    void *message;
    /* The first `filed` octets of the message are in this file, from its beginning on. What read()
     * returns of the others stays valid as long as the delivery. */
    int file;
    uint64_t filed;
    bool doubted;     /* an old connection said "no such user": only a young one counts */
    bool fresh;       /* it wants a link that no message has used, if there is room for one */
    uint8_t refusals; /* of its client by this backend, before it could begin */
    bool unreadable;  /* read() has failed, or `file`: no backend can have the message */
    bool refused;     /* on the last connection the backend refused mired, and would do so again */
    uint8_t broke_in; /* enum outbound_state of the last connection that broke under it */
    const char *why;  /* why that broke, static; NULL: none has */
    bool silent;      /* that was ended here, because the backend did not answer in time */
};

/* Parameters that all backends of one owner share, and its callbacks. */
struct pool_params {
    const struct config *config;
    struct loop *loop;
    int master;                        /* the channel to the master, which leads to the store */
    const struct addresses *addresses; /* of backends with a name; NULL: none has a name */
    uint32_t slots;                    /* workers that share each backend's `connections` */
    struct sharing *sharing;           /* with these; NULL: with nobody */
    /* The job has ended. */
    void (*over)(struct delivery *d);
    /* Put the delivery again, for the same backend: an old connection said that there is no such
     * user, or a connection refused BDAT. That connection is closed, and nobody has the message. */
    void (*again)(struct delivery *d);
    /* The link broke during it (`started`), or there was none. job.sent says whether the backend
     * may have the message. */
    void (*broke)(struct delivery *d, bool started);

    /* A backend's state or extensions have changed. */
    void (*changed)(void *arg);
    /* Whether a backend can be reached: when that is first known, and whenever it changes; or NULL.
     */
    void (*reached)(void *arg, const char *backend, bool up);
    /* Store and load a backend's extensions (ability_word()) over restarts. False: none are
     * known. */
    void (*remember)(void *arg, const char *backend, uint64_t word);
    bool (*recall)(void *arg, const char *backend, uint64_t *word);
    void *arg;
};

struct pool {
    struct pool_params params;
    bool closing;
};

struct backend {
    SSL_CTX *tls; /* NULL: without TLS */
    struct pool *pool;
    const struct config_backend *config;
    uint32_t index;
    struct link *links;
    uint32_t open, connecting, open_max;
    uint32_t room;           /* links that it accepted, until limited_ms */
    uint64_t limited_ms;     /* until then it gets no more than `room` */
    uint64_t doubted_ms;     /* since when it refuses all links while it serves others; 0: no */
    uint64_t ask_ms;         /* while it is doubted: no link before then */
    uint64_t spoke_ms;       /* when a link that has served last read something */
    uint64_t left_ms;        /* when the worker last closed a link that worked */
    uint64_t gave_ms;        /* when it last closed one for another worker */
    uint64_t deaf_ms;        /* until then it gives none */
    uint64_t looked_ms;      /* when it last looked whether another worker wants one */
    uint64_t told_us;        /* when it last told others that it has links */
    uint64_t heard_us;       /* the last such word of another worker that its own has replaced */
    uint64_t share_id;       /* in params.sharing */
    uint64_t limit_told_ms;  /* when its limit was last logged; 0: never */
    uint64_t plain_until_ms; /* its TLS failed and is not required: clear text until then */
    struct alarm share;      /* the next look */
    struct fair *line;       /* of deliveries that wait; NULL: none has waited yet */
    struct delivery *aside;  /* those whose client it has refused; they come back to the line */
    struct alarm back;       /* ... when this looks at them */
    struct alarm retry;
    uint64_t backoff_ms;
    unsigned turn;              /* the index of the address of its name that is tried */
    struct ability ability;     /* as on its last connection */
    uint64_t complained_ms;     /* when its complaint was last logged; 0: never */
    uint64_t told_of_client_ms; /* when its refusal of a client was last logged; 0: never */
    uint64_t probed_ms; /* when a refusal of a client last led to a link in mired's own name */
    bool known, up;
    bool learnt;            /* `ability` is known, from this process or an earlier one */
    bool probe;             /* `retry` opens a link even if nobody waits for one */
    bool give;              /* the next link that ends its delivery is for another worker */
    bool tls_works;         /* its last handshake has succeeded */
    bool gave;              /* it gave one, and has tried no other since */
    bool apart;             /* why its last link failed has nothing to do with other links */
    bool told_missing;      /* the lack of XCLIENT or XFORWARD has been logged */
    bool no_chunks;         /* BDAT does not work there, although it offers CHUNKING */
    uint8_t chunk_failures; /* of BDAT since it last worked */
};

void pool_open(struct pool *p, struct backend *b, uint32_t index);
/* Opens one link, to learn what the backend can do. Call it once, when this process is confined. */
void pool_begin(struct backend *b);
void pool_close(struct backend *b);

/* Gives a delivery to this backend; it starts at once, or in its turn when a link is free. False: the
 * backend cannot be reached, or there is no memory, and nothing was started. */
bool pool_put(struct backend *b, struct delivery *d);

/* What a delivery waits for: the name of its connection's state, or "a free connection". Static. */
const char *pool_state_name(const struct delivery *d);

/* Removes a delivery from the line, or from its link, which is then closed. */
void pool_drop(struct delivery *d);

#endif
