/* Measures the throughput of a fleet: several members in one program, each with a ledger and the
 * serving fleet process, and one Redis.
 *
 *     fleetload PORT MEMBERS SECONDS RATE CLIENTS
 *
 * Books RATE offences a second at each member, on CLIENTS clients in turn, and measures how long it
 * takes until the next member knows of a booking (for one in 500). Then it says "known", and after
 * an answer it ends the members and prints a line of JSON. bench/fleet starts a Redis for it and
 * adds what Redis has counted. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "fleet/fleet.h"
#include "fleet/orderbook.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger_others.h"

enum { MEMBERS_MOST = 64, LEDGERS_OCTETS = 384 << 20, WATCHED = 1 << 16, EVERY = 500, LOOKS = 32 };

struct booker {
    struct ledger *ledger;
    struct ledger_others *others;
    int control[2];
    struct orderbook *orderbook;
    struct partial_delivery *partial;
    pid_t pid;
};

struct watched {
    uint64_t at_us;
    uint32_t client;
    uint8_t at; /* the member that must hear of it */
    bool seen;
};

static struct booker member[MEMBERS_MOST];
static size_t ledger_octets; /* of each member */
static const struct ledger_decay decay = {3600000, 7 * 86400000};

static struct addr client_of(uint32_t member_number, uint32_t n)
{
    return (struct addr){.family = ADDR_IP4,
                         .octets = {(uint8_t)(10 + member_number), (uint8_t)(n >> 16),
                                    (uint8_t)(n >> 8), (uint8_t)n}};
}

static void begin_member(unsigned i, uint16_t port)
{
    struct booker *m = &member[i];
    size_t size = others_size(ledger_octets / 64);
    void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct config *c = config_defaults("bench");
    char name[16];

    if (mapping == MAP_FAILED || !c || ledger_open(&m->ledger, NULL, ledger_octets) < 0 ||
        orderbook_open(&m->orderbook, NULL) < 0 || partial_open(&m->partial, NULL, 3600000) < 0 ||
        channel_pair(m->control) < 0)
        exit(1);
    m->others = others_open(mapping, size);
    ledger_share(m->ledger, m->others);
    snprintf(name, sizeof name, "mx%u", i + 1);
    static struct config_redis server;
    server = (struct config_redis){.host = strdup("127.0.0.1"), .port = port};
    static char *text[] = {(char *)"redis"};
    c->fleet.redis = (struct config_strings){text, 1};
    c->fleet.server = &server;
    c->fleet.member = strdup(name);
    c->ledger_size = ledger_octets;
    m->pid = fork();
    if (m->pid == 0)
        _exit(fleet_run(&(struct fleet_params){.config = c,
                                               .control = m->control[1],
                                               .ledger = m->ledger,
                                               .others = m->others,
                                               .orderbook = m->orderbook,
                                               .partial = m->partial}));
}

static void look(struct watched *w, uint32_t count, uint32_t members, uint64_t *lag, uint32_t *lags,
                 uint32_t from)
{
    struct ledger_entry e;

    /* Those that were booked first are known first. To look at all would take the time of others. */
    for (uint32_t i = from, looks = 0; i < count && looks < LOOKS; i++) {
        if (w[i].seen)
            continue;
        looks++;
        struct booker *m = &member[w[i].at];
        struct addr a = client_of((w[i].at + members - 1) % members, w[i].client);
        struct ledger_key k = ledger_key_client(m->ledger, &a);
        if (ledger_get(m->ledger, &k, &decay, clock_wall_ms(), &e) && e.offences > 0) {
            lag[(*lags)++] = clock_mono_us() - w[i].at_us;
            w[i].seen = true;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double cpu_s(int whose)
{
    struct rusage u;

    getrusage(whose, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    static struct watched w[WATCHED];
    static uint64_t lag[WATCHED];
    uint32_t watched = 0, lags = 0, from = 0;

    if (argc != 6)
        return 2;
    uint16_t port = (uint16_t)atoi(argv[1]);
    uint32_t members = (uint32_t)atoi(argv[2]), seconds = (uint32_t)atoi(argv[3]);
    uint64_t rate = (uint64_t)atoi(argv[4]), clients = (uint64_t)atoi(argv[5]), booked = 0;
    if (members == 0 || members > MEMBERS_MOST)
        return 2;
    ledger_octets = (size_t)LEDGERS_OCTETS / members & ~(size_t)4095;
    log_open(LOG_TEXT, LOG_WARN, "bench");
    for (uint32_t i = 0; i < members; i++)
        begin_member(i, port);
    for (uint32_t i = 0; i < members; i++)
        while (!others_is_active(member[i].others)) {
            if (waitpid(member[i].pid, NULL, WNOHANG) != 0) {
                fprintf(stderr, "fleetload: a member has ended\n");
                return 1;
            }
            usleep(10000);
        }
    uint64_t begun = clock_mono_us(), end = begun + (uint64_t)seconds * 1000000;
    for (uint64_t now = begun; now < end; now = clock_mono_us()) {
        uint64_t due = (now - begun) * rate / 1000000;
        for (; booked < due; booked++)
            for (uint32_t i = 0; i < members; i++) {
                struct addr a = client_of(i, (uint32_t)(booked % clients));
                struct ledger_key k = ledger_key_client(member[i].ledger, &a);
                ledger_add_offences(member[i].ledger, &k, &decay, clock_wall_ms(), 1);
                if (booked % EVERY == 0 && booked < clients && watched < WATCHED)
                    w[watched++] = (struct watched){clock_mono_us(), (uint32_t)(booked % clients),
                                                    (uint8_t)((i + 1) % members), false};
            }
        while (from < watched && w[from].seen)
            from++;
        look(w, watched, members, lag, &lags, from);
        usleep(500);
        if (waitpid(-1, NULL, WNOHANG) > 0) {
            fprintf(stderr, "fleetload: a member has ended\n");
            return 1;
        }
    }
    uint64_t stopped = clock_mono_us();
    while (lags < watched && clock_mono_us() < stopped + 30000000) {
        while (from < watched && w[from].seen)
            from++;
        look(w, watched, members, lag, &lags, from);
        usleep(1000);
    }
    uint64_t drained = clock_mono_us();
    qsort(lag, lags, sizeof *lag, by_size);
    puts("known"); /* but perhaps not yet written to all keys: the caller waits for that */
    fflush(stdout);
    getchar();
    for (uint32_t i = 0; i < members; i++)
        kill(member[i].pid, SIGTERM);
    while (wait(NULL) > 0)
        ;
    double all = (double)booked * members;
    printf("{\"members\":%u,\"seconds\":%u,\"bookings_a_second\":%llu,\"clients\":%llu,"
           "\"watched\":%u,\"seen\":%u,\"lag_p50_ms\":%.1f,\"lag_p99_ms\":%.1f,\"rest_ms\":%.1f,"
           "\"members_cpu_us_a_booking\":%.2f,\"booker_cpu_us_a_booking\":%.2f}\n",
           members, seconds, (unsigned long long)(booked / seconds), (unsigned long long)clients,
           watched, lags, lags ? (double)lag[lags / 2] / 1000 : 0,
           lags ? (double)lag[(uint64_t)lags * 99 / 100] / 1000 : 0,
           (double)(drained - stopped) / 1000, cpu_s(RUSAGE_CHILDREN) * 1e6 / all,
           cpu_s(RUSAGE_SELF) * 1e6 / all);
    return 0;
}
