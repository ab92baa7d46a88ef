/* The configuration for all other rooms: checked values, which need no further parsing.
 *
 * Read by the master (and `mired -t`) with libconfuse; children inherit it over fork() and never
 * change it. Durations are ms, sizes octets. keys.h has one row for each key, with its default and
 * bounds. */
#ifndef MIRED_CONFIG_CONFIG_H
#define MIRED_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/log.h"
#include "config/routes.h"
#include "dns/listing.h"
#include "tarpit/rules.h"

struct config_strings {
    char **at;
    size_t count;
};

struct config_networks {
    struct network *at;
    size_t count;
};

enum tls_mode {
    TLS_OFF,
    TLS_STARTTLS,
    TLS_IMPLICIT,
    TLS_VERIFIED /* backends: encrypted and checked */
};

struct config_listen {
    struct addr addr;
    bool submission;
    bool auth;     /* offered where there is an `auth` verifier */
    bool chunking; /* CHUNKING is offered, and BDAT taken */
    enum tls_mode tls;
    struct config_networks proxy_protocol; /* networks that may send PROXY v1/v2; empty: none */
};

struct config_tls {
    struct config_strings certificate, key; /* as many keys as certificates, or none: in the same
                                               files */
    char *place;     /* "FILE:LINE" of the section, for errors in the files */
    int minimum;     /* 12 or 13 for TLS 1.2 or 1.3 */
    char *client_ca; /* optional client certificates that make a session exempt; NULL: none */
};

enum recipients_kind { RECIPIENTS_FILE, RECIPIENTS_LDAP, RECIPIENTS_SOCKETMAP, RECIPIENTS_BACKEND };

struct config_recipients {
    enum recipients_kind kind;
    struct config_strings domains; /* folded; none: those that no other section names */
    uint64_t cache_ms, negative_cache_ms;
    char *path;                /* file, socketmap (unix path or inet:HOST:PORT) */
    char *map;                 /* socketmap */
    struct config_strings url; /* ldap: one or several servers */
    char *base, *filter, *bind_dn, *password_file;
    bool start_tls;
};

enum auth_kind { AUTH_FILE, AUTH_DOVECOT, AUTH_BACKEND };

struct config_auth {
    enum auth_kind kind;
    struct config_strings domains; /* as in config_recipients */
    char *path;                    /* file, dovecot */
};

enum backend_kind { BACKEND_SMTP, BACKEND_LMTP, BACKEND_STORE };

/* Whether messages go with BDAT where the backend offers CHUNKING; AUTO: over LMTP. */
enum backend_chunking { CHUNKING_AUTO, CHUNKING_ON, CHUNKING_OFF };

struct config_backend {
    enum backend_kind kind;
    struct config_strings domains; /* as in config_recipients */
    char *name; /* as written: "smtp://127.0.0.1:10025", "lmtp:/run/dovecot/lmtp", "maildir" */
    struct addr addr; /* ADDR_UNIX: see path; ADDR_NONE: the port of `host` */
    char *path;
    char *host; /* a name, to be looked up (backend/addresses.h); NULL: addr or path */
    bool xclient, xforward;
    int chunking;       /* enum backend_chunking */
    int proxy_protocol; /* 0, 1, 2 */
    enum tls_mode tls;
    uint32_t connections; /* at most, all workers together */
};

enum bare_newline { BARE_NEWLINE_REFUSE, BARE_NEWLINE_NORMALISE };
enum nul { NUL_REFUSE, NUL_ALLOW }; /* in messages */

enum allowance_stolen { ALLOWANCE_TELL, ALLOWANCE_REFUSE };

/* R23. */
struct config_allowance {
    uint32_t per_hour, per_day; /* recipients of an account; 0: no limit */
    char *file;                 /* of accounts with others; NULL: none */
    enum allowance_stolen stolen;
};

enum balance { BALANCE_FIRST, BALANCE_ROUND_ROBIN };

enum fleet_mode { FLEET_SINGLE, FLEET_SENTINEL, FLEET_CLUSTER };

/* A server of `fleet`'s redis: "redis://user:password@host:port/db"; "rediss://" is TLS. */
struct config_redis {
    char *host, *user, *password; /* user and password NULL: none */
    uint16_t port;
    uint32_t db;
    bool tls;
};

struct config_fleet {
    struct config_strings redis; /* as written, without passwords; empty: no fleet */
    struct config_redis *server; /* the same, read */
    int mode;                    /* enum fleet_mode */
    char *name, *member;
    char *password_file, *ca;
    bool tls;
};

/* A list in the DNS: `dnsbl`, `dnswl`. */
struct config_list {
    char *zone;                       /* folded */
    double weight;                    /* dnsbl: live offences */
    bool test;                        /* it has the test entries of RFC 5782 */
    struct config_strings reply;      /* "127.0.0.[2..11]", as written */
    struct listing_patterns patterns; /* the same; none: any of 127.0.0.0/8 */
};

struct config {
    char *file; /* where it was read from */
    char *hostname;
    struct config_strings domains; /* folded: lower case, A-labels; ".example.org": and below */
    struct routes *routes;         /* which sections serve which domain */
    uint32_t workers, clerks;      /* already resolved: never 0 */
    uint32_t lookups;              /* queries that directories get at once, from all clerks */
    char *user;
    char *state, *run;
    bool sandbox; /* base/sandbox.h, in each process but the master */
    enum log_format log;
    enum log_level log_level;
    uint64_t size_max;
    uint64_t connections_max; /* already resolved; all workers together */
    uint64_t spool_max;
    uint64_t spool_memory; /* already resolved; all workers together */
    uint64_t timeout_ms;
    uint64_t data_rate; /* octets a second, over `timeout`; 0: any */
    uint64_t partial_ms;
    struct config_networks exempt;
    struct config_networks relay;       /* own machines that may send to any domain */
    struct config_strings exempt_names; /* ".outbound.example.com", folded */
    struct config_strings suspect;
    struct config_list *dnsbl, *dnswl;
    size_t dnsbl_count, dnswl_count;
    struct config_strings resolver;
    struct addr
        *resolvers; /* the same as addresses, port 0 where none is given; none: the system's */
    char *recipient_delimiter;
    bool routing_addresses; /* joe%evil@ours goes to the backend like any other address */
    bool received_login;    /* Received: names the account that sent the message */
    struct config_listen *listen;
    size_t listen_count;
    struct config_tls tls;
    struct tarpit_rules tarpit;
    struct config_strings traps;           /* folded addresses and "file:PATH", sorted */
    bool observe;                          /* R20 */
    char *observe_place;                   /* with observe: "FILE:LINE" */
    struct config_strings observe_domains; /* folded */
    uint64_t ledger_size;
    struct config_recipients *recipients;
    size_t recipients_count;
    struct config_auth *auth;
    size_t auth_count;
    struct config_allowance allowance;
    struct config_backend *backend;
    size_t backend_count;
    enum balance balance;
    enum bare_newline bare_newline;
    struct config_networks bare_newline_networks; /* whose chunks may have them */
    enum nul nul;
    struct config_strings web_listen;
    char *web_token_file;
    struct config_strings web_names; /* names that Host may have, in addition to our own */
    struct config_fleet fleet;       /* R25 */
};

/* Of the spool a part is for small messages (relay/spool.h); size_max is cut to what fits. */
enum { CONFIG_SPOOL_SMALL = 256 * 1024, CONFIG_SPOOL_SMALL_PART = 16 };

/* Reads `path`. Returns 0 and sets *config, which the caller frees with config_free(); or returns
 * -1 and adds a line for each error to *errors (the caller's buf): "FILE:LINE: what is wrong; what
 * would be right". Warnings (no `recipients`: every local address is accepted) are lines with
 * "warning:" in *errors, and the result is then 0. Only checks whether other files can be read. Not
 * thread-safe; runs in the master. */
int config_read(const char *path, struct config **config, struct buf *errors);

void config_free(struct config *config);

/* Copies the values of keys that a reload does not take up (`restart` in keys.h) from `from` to
 * `to`. Calls `told`, if not NULL, for each key with a different value in `to`, with the key and
 * the value that it keeps, as text. False without memory. */
bool config_keep_fixed(struct config *to, const struct config *from,
                       void (*told)(const char *key, const char *keeps));

/* A configuration of nothing but defaults, before any check; NULL without memory. */
struct config *config_defaults(const char *path);
/* The defaults of tarpit { }, from the rows of the schema. */
struct tarpit_rules config_default_rules(void);

/* Checked values, used for keys and by tools: "20s", "500ms", "1h"; a bare number is seconds. */
bool config_duration(struct span text, uint64_t *ms);
/* "64K", "25M", "1G", or octets. */
bool config_size(struct span text, uint64_t *octets);

/* Overwrites the passwords of the fleet's servers, for processes that do not need them. */
void config_forget_fleet(struct config *c);

/* The title of the section: "file", "ldap", ... Static. */
const char *config_recipients_name(enum recipients_kind kind);
const char *config_auth_name(enum auth_kind kind);

/* What serves a domain (folded). Domains that are not ours have backends, too: clients that log in
 * send there. */
struct route config_route(const struct config *c, enum route_kind kind, struct span domain);

/* What serves an address as a client writes it; for <postmaster>, what serves
 * config_own_domain(). */
struct route config_address_route(const struct config *c, enum route_kind kind,
                                  struct span address);

enum { CONFIG_LOGIN_DOMAIN_ROOM = 1024 };

/* The domain after the last @ of a login name, folded (without a final dot) into `room`; empty if
 * it has none. */
struct span config_login_domain(struct span user, char room[CONFIG_LOGIN_DOMAIN_ROOM]);

/* The verifiers of a login name as a client types it: those of the domain after its last @; for a
 * name without a domain, those without `domains`. */
struct route config_login_route(const struct config *c, struct span user);

/* One domain for all that have the same verifiers: the first in `domains` of the first of these
 * verifiers, without the dot of a suffix. A verifier that gives an account no domain knows it by
 * every login name of these domains. Empty for the verifiers without `domains`. Borrowed. */
struct span config_login_home(const struct config *c, struct span user);

/* The backends that `auth "backend"` asks about a login name: those of its domain. */
struct route config_login_backends(const struct config *c, struct span user);

/* The domain of an address that has none, <postmaster>: the first of `domains` that is a name, or
 * `hostname` where they are all suffixes. */
struct span config_own_domain(const struct config *c);

/* Whether a directory of the domain lists single addresses: a file, LDAP, socketmap. A backend does
 * not count, because it may accept an address of ours as a route to another domain. */
bool config_names_addresses(const struct config *c, struct span domain);

/* PATH, if an entry of a list such as `traps` is "file:PATH"; else NULL. */
const char *config_list_path(const char *entry);

/* Whether `address` (folded) is in `traps` itself; the clerks know the addresses of its files. */
bool config_is_trap(const struct config *c, struct span address);

/* True when `domain` (folded) is one of ours. */
bool config_is_local(const struct config *c, struct span domain);

/* The same for the domain of an address, which need not be folded; true for a bare <postmaster>. */
bool config_is_local_address(const struct config *c, struct span address);

#endif
