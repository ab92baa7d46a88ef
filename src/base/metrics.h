/* Counters that all processes add to and the web process reads: one shared mapping, a row a
 * process.
 *
 * Each process writes only its own row (given by the master), so an addition is one plain store
 * without contention. A row outlives the process that wrote it: totals never go back when a worker
 * dies. Gauges of a dead process are zeroed by the master with metrics_reset_gauges(). The table
 * below is the one place where a metric is named; docs, /metrics and tests read it. */
#ifndef MIRED_BASE_METRICS_H
#define MIRED_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/close_reason.h"

#define METRIC_SESSIONS(M, id, name)                                                               \
    M(SESSIONS_##id, COUNTER, "mired_sessions_total", "result=\"" name "\"",                       \
      "Connections of clients that ended, by the way they ended.")

/* M(identifier, kind, family, label, help): family without label and with are written as Prometheus
 * wants them; rows of one family are adjacent. */
#define METRICS(M)                                                                                 \
    M(CONNECTIONS_TOTAL, COUNTER, "mired_connections_total", "", "Connections accepted.")          \
    M(CONNECTIONS_OPEN, GAUGE, "mired_connections_open", "",                                       \
      "Connections open now, held ones included.")                                                 \
    CLOSE_REASONS(METRIC_SESSIONS, M)                                                              \
    M(HELD, GAUGE, "mired_held_connections", "", "Connections with a reply held back now.")        \
    M(FROZEN, GAUGE, "mired_frozen_connections", "", "Held connections without a socket now.")     \
    M(HOLD_MS, COUNTER_MS, "mired_hold_seconds_total", "", "Seconds that clients spent held.")     \
    M(OFFENCE_RECIPIENT, COUNTER, "mired_offences_total", "kind=\"recipient\"",                    \
      "Offences booked.")                                                                          \
    M(OFFENCE_RELAY, COUNTER, "mired_offences_total", "kind=\"relay\"", "")                        \
    M(OFFENCE_SYNTAX, COUNTER, "mired_offences_total", "kind=\"syntax\"", "")                      \
    M(OFFENCE_SEQUENCE, COUNTER, "mired_offences_total", "kind=\"sequence\"", "")                  \
    M(OFFENCE_AUTH, COUNTER, "mired_offences_total", "kind=\"auth\"", "")                          \
    M(OFFENCE_POLICY, COUNTER, "mired_offences_total", "kind=\"policy\"", "")                      \
    M(OFFENCE_BACKEND, COUNTER, "mired_offences_total", "kind=\"backend\"", "")                    \
    M(OFFENCE_EARLY, COUNTER, "mired_offences_total", "kind=\"early\"", "")                        \
    M(OFFENCE_TRAP, COUNTER, "mired_offences_total", "kind=\"trap\"", "")                          \
    M(OFFENCE_TLS, COUNTER, "mired_offences_total", "kind=\"tls\"", "")                            \
    M(VERDICT_GOOD, COUNTER, "mired_verdicts_total", "result=\"good\"",                            \
      "Verdicts that clients heard, and verdicts withheld.")                                       \
    M(VERDICT_BAD, COUNTER, "mired_verdicts_total", "result=\"bad\"", "")                          \
    M(VERDICT_MASKED, COUNTER, "mired_verdicts_total", "result=\"masked\"", "")                    \
    M(VERDICT_SHIELD, COUNTER, "mired_verdicts_total", "result=\"shield\"", "")                    \
    M(VERDICT_UNKNOWN, COUNTER, "mired_verdicts_total", "result=\"unavailable\"", "")              \
    M(CORRESPONDENT_GOOD, COUNTER, "mired_correspondent_verdicts_total", "result=\"good\"",        \
      "Verdicts to clients in debt whose correspondent's good mail covers them.")                  \
    M(CORRESPONDENT_BAD, COUNTER, "mired_correspondent_verdicts_total", "result=\"bad\"", "")      \
    M(WOULD_HOLD_MS, COUNTER_MS, "mired_would_hold_seconds_total", "",                             \
      "With observe: seconds that clients would have spent held.")                                 \
    M(WOULD_HOLD, COUNTER, "mired_would_hold_total", "rule=\"none\"",                              \
      "With observe: replies that would have waited.")                                             \
    M(WOULD_HOLD_OFFENCE, COUNTER, "mired_would_hold_total", "rule=\"R1\"", "")                    \
    M(WOULD_HOLD_DEBT, COUNTER, "mired_would_hold_total", "rule=\"R3\"", "")                       \
    M(WOULD_HOLD_TURN, COUNTER, "mired_would_hold_total", "rule=\"R4\"", "")                       \
    M(WOULD_HOLD_MASK, COUNTER, "mired_would_hold_total", "rule=\"R5\"", "")                       \
    M(WOULD_HOLD_SHIELD, COUNTER, "mired_would_hold_total", "rule=\"R7\"", "")                     \
    M(WOULD_HOLD_COVERED, COUNTER, "mired_would_hold_total", "rule=\"R8\"", "")                    \
    M(WOULD_HOLD_NETWORK, COUNTER, "mired_would_hold_total", "rule=\"R10\"", "")                   \
    M(WOULD_HOLD_CORRESPONDENT, COUNTER, "mired_would_hold_total", "rule=\"R21\"", "")             \
    M(WOULD_HOLD_GREET, COUNTER, "mired_would_hold_total", "rule=\"R22\"", "")                     \
    M(WOULD_BE_LATE, COUNTER, "mired_would_be_late_total", "",                                     \
      "With observe: messages that would have been late or deferred.")                             \
    M(GREETING_PAUSES, COUNTER, "mired_greeting_pauses_total", "",                                 \
      "Greetings that waited because the client was not known.")                                   \
    M(EARLY_TALKERS, COUNTER, "mired_early_talkers_total", "",                                     \
      "Clients that sent something before the greeting.")                                          \
    M(REPLIES_2, COUNTER, "mired_replies_total", "class=\"2xx\"", "Replies sent.")                 \
    M(REPLIES_3, COUNTER, "mired_replies_total", "class=\"3xx\"", "")                              \
    M(REPLIES_4, COUNTER, "mired_replies_total", "class=\"4xx\"", "")                              \
    M(REPLIES_5, COUNTER, "mired_replies_total", "class=\"5xx\"", "")                              \
    M(MESSAGES_PASSED, COUNTER, "mired_messages_total", "result=\"passed\"",                       \
      "Messages handed over, by what the client heard.")                                           \
    M(MESSAGES_DEFERRED, COUNTER, "mired_messages_total", "result=\"deferred\"", "")               \
    M(MESSAGES_REFUSED, COUNTER, "mired_messages_total", "result=\"refused\"", "")                 \
    M(AUTH_OK, COUNTER, "mired_auth_total", "result=\"ok\"", "AUTH attempts.")                     \
    M(AUTH_FAILED, COUNTER, "mired_auth_total", "result=\"failed\"", "")                           \
    M(AUTH_UNAVAILABLE, COUNTER, "mired_auth_total", "result=\"unavailable\"", "")                 \
    M(AUTH_OUT_OF_TURN, COUNTER, "mired_auth_out_of_turn_total", "result=\"ok\"",                  \
      "Passwords that were checked out of turn, because the account knows the network (R14).")     \
    M(AUTH_OUT_OF_TURN_FAILED, COUNTER, "mired_auth_out_of_turn_total", "result=\"failed\"", "")   \
    M(AUTH_NO_TRY, COUNTER, "mired_auth_out_of_turn_total", "result=\"none_left\"", "")            \
    M(ALLOWANCE_REFUSALS, COUNTER, "mired_allowance_refusals_total", "",                           \
      "Recipients, messages and logins refused because of an account's allowance.")                \
    M(ALLOWANCE_STOLEN, COUNTER, "mired_allowance_stolen_total", "",                               \
      "Accounts that began to look stolen.")                                                       \
    M(ALLOWANCE_KEPT, GAUGE, "mired_allowance_file_kept", "",                                      \
      "Workers that use an earlier version of the file of allowances: the newest is wrong.")       \
    M(TLS_OK, COUNTER, "mired_tls_handshakes_total", "result=\"ok\"", "TLS handshakes.")           \
    M(TLS_FAILED, COUNTER, "mired_tls_handshakes_total", "result=\"failed\"", "")                  \
    M(DIRECTORY_DOWN_FILE, GAUGE, "mired_directory_clerks_down", "source=\"file\"",                \
      "Clerks that could not reach it when they last tried.")                                      \
    M(DIRECTORY_DOWN_LDAP, GAUGE, "mired_directory_clerks_down", "source=\"ldap\"", "")            \
    M(DIRECTORY_DOWN_SOCKETMAP, GAUGE, "mired_directory_clerks_down", "source=\"socketmap\"", "")  \
    M(DIRECTORY_DOWN_BACKEND, GAUGE, "mired_directory_clerks_down", "source=\"backend\"", "")      \
    M(DIRECTORY_KEPT, GAUGE, "mired_directory_clerks_kept", "source=\"file\"",                     \
      "Clerks that use an earlier version: the newest is wrong or much shorter.")                  \
    M(QUERIES_DROPPED, COUNTER, "mired_directory_queries_dropped_total", "",                       \
      "Queries dropped because there were too many; they were answered 451.")                      \
    M(DNS_LISTED, COUNTER, "mired_dns_answers_total", "result=\"listed\"",                         \
      "Answers of the DNS about clients, by result.")                                              \
    M(DNS_TRUSTED, COUNTER, "mired_dns_answers_total", "result=\"trusted\"", "")                   \
    M(DNS_NOTHING, COUNTER, "mired_dns_answers_total", "result=\"nothing\"", "")                   \
    M(DNS_BLOCKED, COUNTER, "mired_dns_answers_total", "result=\"refused\"", "")                   \
    M(DNS_FAILED, COUNTER, "mired_dns_answers_total", "result=\"failed\"", "")                     \
    M(DNS_SKIPPED, COUNTER, "mired_dns_skipped_total", "",                                         \
      "Clients not looked up because there was no room or no resolver.")                           \
    M(GUARD_EVICTIONS, COUNTER, "mired_guard_evictions_total", "",                                 \
      "Connections closed to make room: held ones, or silent ones.")                               \
    M(BUDGET_CONNECTIONS, COUNTER, "mired_budget_refusals_total", "kind=\"connections\"",          \
      "Refusals (421, 452) because one client had used its share of a scarce resource.")           \
    M(BUDGET_SPOOL, COUNTER, "mired_budget_refusals_total", "kind=\"spool\"", "")                  \
    M(BUDGET_ENVELOPES, COUNTER, "mired_budget_refusals_total", "kind=\"envelopes\"", "")          \
    M(SPOOL, GAUGE, "mired_spool_bytes", "",                                                       \
      "Octets of messages in the spool, which spool_max limits.")                                  \
    M(LOOP_IDLE, COUNTER, "mired_loop_idle_total", "",                                             \
      "Events that changed nothing when workers handled them.")                                    \
    M(FLEET_UP, GAUGE, "mired_fleet_up", "",                                                       \
      "Whether the others hear what this member books: 0 alone, or without a fleet.")              \
    M(FLEET_MEMBERS, GAUGE, "mired_fleet_members", "",                                             \
      "Members heard of in the last 10 seconds, this one included.")                               \
    M(FLEET_KEYS, GAUGE, "mired_fleet_keys", "",                                                   \
      "Clients, networks, accounts and pairs that other members have told of.")                    \
    M(SANDBOX_SECCOMP, GAUGE, "mired_sandboxed_processes", "by=\"seccomp\"",                       \
      "Processes by what confines them; one that has several counts in each.")                     \
    M(SANDBOX_LANDLOCK, GAUGE, "mired_sandboxed_processes", "by=\"landlock\"", "")                 \
    M(SANDBOX_ROOT, GAUGE, "mired_sandboxed_processes", "by=\"root\"", "")                         \
    M(SANDBOX_NONE, GAUGE, "mired_sandboxed_processes", "by=\"none\"", "")                         \
    M(PROPOSALS_EXCESS, COUNTER, "mired_proposals_refused_total", "why=\"rate\"",                  \
      "What workers proposed for the ledger and the keeper did not do.")                           \
    M(PROPOSALS_WRONG, COUNTER, "mired_proposals_refused_total", "why=\"wrong\"", "")              \
    M(WORKER_RESTARTS, COUNTER, "mired_worker_restarts_total", "",                                 \
      "Workers restarted after they died.")

/* T(identifier, family, label, help): what is measured in seconds, as a histogram each. */
#define METRIC_TIMES(T)                                                                            \
    T(MESSAGE, "mired_message_seconds", "", "Time from the final dot to the reply to the client.") \
    T(DIRECTORY_FILE, "mired_directory_seconds", "source=\"file\"",                                \
      "Time until directories answered; cached answers are not counted.")                          \
    T(DIRECTORY_LDAP, "mired_directory_seconds", "source=\"ldap\"", "")                            \
    T(DIRECTORY_SOCKETMAP, "mired_directory_seconds", "source=\"socketmap\"", "")                  \
    T(DIRECTORY_BACKEND, "mired_directory_seconds", "source=\"backend\"", "")                      \
    T(FLEET_LAG, "mired_fleet_lag_seconds", "",                                                    \
      "Time from a booking at another member until it counts here.")

enum metric {
#define METRIC_ID(id, kind, family, label, help) METRIC_##id,
    METRICS(METRIC_ID)
#undef METRIC_ID
        METRIC_COUNT
};

enum { METRIC_COUNTER, METRIC_GAUGE, METRIC_COUNTER_MS };

struct metric_about {
    const char *family, *label, *help;
    int kind;
};
extern const struct metric_about metric_table[METRIC_COUNT];

enum metric_time {
#define METRIC_ID(id, family, label, help) METRIC_TIME_##id,
    METRIC_TIMES(METRIC_ID)
#undef METRIC_ID
        METRIC_TIME_COUNT
};

struct metric_time_about {
    const char *family, *label, *help;
};
extern const struct metric_time_about metric_time_table[METRIC_TIME_COUNT];

/* Upper bounds of a histogram's buckets, in ms; one more bucket is +Inf. */
enum { METRIC_BUCKETS = 12 };
extern const uint32_t metric_bucket_ms[METRIC_BUCKETS];

struct metric_histogram {
    _Atomic uint64_t bucket[METRIC_BUCKETS + 1]; /* not cumulative */
    _Atomic uint64_t us;                         /* sum */
};

struct metrics_row {
    _Alignas(64) _Atomic uint64_t value[METRIC_COUNT];
    struct metric_histogram time[METRIC_TIME_COUNT];
};

struct metrics {
    uint32_t rows;
    struct metrics_row *row; /* in a shared mapping */
};

/* A shared anonymous mapping with `rows` rows, all zero. Returns 0 or -errno. */
int metrics_open(struct metrics *m, uint32_t rows);
void metrics_close(struct metrics *m);

/* The row that metric_add() of this process writes to; NULL is a private dummy (unit tests). */
void metrics_use(struct metrics_row *row);

/* Adds to a counter or moves a gauge. Any value as uint64_t; negative moves wrap as they should. */
void metric_add(enum metric id, int64_t by);
/* Sets a gauge that one process alone knows. */
void metric_set(enum metric id, uint64_t value);
/* Something took so long. */
void metric_took(enum metric_time id, uint64_t us);

/* The sum over all rows. */
uint64_t metrics_sum(const struct metrics *m, enum metric id);
void metrics_sum_time(const struct metrics *m, enum metric_time id,
                      uint64_t bucket[METRIC_BUCKETS + 1], uint64_t *us);

/* The time in ms that a share `q` (0..1) of those in bucket[METRIC_BUCKETS + 1] did not exceed.
 * Like Prometheus' histogram_quantile() it assumes that times are spread evenly over their bucket,
 * and returns the last bound for times beyond it. NAN when there are none. */
double metric_quantile_ms(const uint64_t bucket[METRIC_BUCKETS + 1], double q);

void metrics_reset_gauges(struct metrics_row *row);

/* A number that changes with what a row counts, and in which order: rows of a program with another
 * layout mean something else. At most INT64_MAX, never 0. */
uint64_t metrics_layout(void);

#endif
