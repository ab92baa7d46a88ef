/* The adversary's game: plays a plan against the tarpit and sums up the verdicts that it learnt
 * (adversary.h). */
#include "adversary_part.h"

#include <stdlib.h>
#include <string.h>

#include "tarpit/ledger_table.h"
#include "tarpit/policy.h"
#include "tarpit/retries.h"

const uint16_t adversary_many[ADVERSARY_MANY] = {1, 2, 3, 5, 10, 20, 30, 50, 100, 1000};
const uint32_t adversary_time[ADVERSARY_TIMES] = {
    500,   1000,          2000,           5000,    10000,       20000,        30000,
    90000, 5 * MINUTE_MS, 20 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 12 * HOUR_MS, DAY_MS};

/* ---- the board ---- */

struct adversary *adversary_open(const struct tarpit_rules *rules)
{
    struct adversary *a = calloc(1, sizeof *a);
    char name[32];

    if (a == NULL)
        return NULL;
    a->tarpit.rules = *rules;
    if (ledger_open(&a->tarpit.ledger, NULL, SLOTS * 64) < 0) {
        free(a);
        return NULL;
    }
    if (retries_open(&a->tarpit.retries, NULL, RETRIES_ROOM) < 0) {
        adversary_close(a);
        return NULL;
    }
    a->tarpit.ledger->file.key = (struct sipkey){1, 2}; /* the same game each time */
    a->size = a->tarpit.ledger->file.body_size;
    a->empty = malloc(a->size);
    a->before = malloc(a->size);
    a->after = malloc(a->size);
    if (a->empty == NULL || a->before == NULL || a->after == NULL) {
        adversary_close(a);
        return NULL;
    }
    board_copy(a, a->empty);
    for (uint32_t i = 0; i < ADVERSARY_MAILBOXES; i++) {
        int n = snprintf(name, sizeof name, "m%u@example.org", i);
        a->mailbox[i] = tarpit_mailbox(&a->tarpit, (struct span){name, (size_t)n});
    }
    return a;
}

void adversary_close(struct adversary *a)
{
    ledger_close(a->tarpit.ledger);
    retries_close(a->tarpit.retries);
    free(a->empty);
    free(a->before);
    free(a->after);
    free(a);
}

/* ---- verdicts and credit ---- */

static struct addr address_of(bool ip6, uint8_t i)
{
    uint8_t near = i < ADVERSARY_NEAR;

    if (ip6)
        return (struct addr){.family = ADDR_IP6,
                             .octets = {0x20, 0x01, 0x0d, 0xb8, 1, near ? 0 : i, 0, i, [15] = 1}};
    return (struct addr){.family = ADDR_IP4, .octets = {192, 0, near ? 2 : 3, (uint8_t)(1 + i)}};
}

/* The day of the credit of an address or a pair; in the ledger the day of each entry begins at a
 * different time. */
static uint64_t day_of(uint64_t hash, uint64_t at)
{
    return (at + hash % DAY_MS) / DAY_MS;
}

/* Counts how many of these mailboxes earn for the first time today. */
static uint32_t earn(struct earned *e, uint64_t day, const struct delivery *d)
{
    uint32_t fresh = 0;

    if (e->day != day)
        *e = (struct earned){.day = day};
    for (uint32_t i = 0; i < (d->same ? 1 : d->count); i++) {
        uint32_t m = (d->first + i) % ADVERSARY_MAILBOXES;
        uint64_t bit = UINT64_C(1) << m % 64;
        fresh += !(e->mailbox[m / 64] & bit);
        e->mailbox[m / 64] |= bit;
    }
    return fresh;
}

/* Addresses of one network share their pairs. */
static uint8_t network_of(const struct adversary *a, uint8_t address)
{
    return address < ADVERSARY_NEAR ? 0 : a->ip6 ? address : ADVERSARY_NEAR;
}

static void deliver(struct adversary *a, const struct delivery *d)
{
    uint64_t mailbox[TOGETHER];
    struct minute *m = board_minute(a, d->due);
    struct addr from = address_of(a->ip6, d->address);
    uint64_t day = day_of(ledger_key_mailboxes(a->tarpit.ledger, &from).hash, d->due);

    for (uint32_t i = 0; i < d->count; i++)
        mailbox[i] = a->mailbox[d->same ? d->first : (d->first + i) % ADVERSARY_MAILBOXES];
    tarpit_good(&a->tarpit, &d->who, mailbox, d->count, d->due);
    m->by_client += earn(&a->client[d->address], day, d);
    if (d->domain != DOMAIN_NONE)
        m->by_pair +=
            earn(&a->pair[network_of(a, d->address)][d->domain], day_of(d->who.pair, d->due), d);
}

/* A name was put off. MOVE_RETRY asks for it again; if there are too many, not. */
static void put_off(struct adversary *a, const struct put_off *again)
{
    if (a->put_offs < PUT_OFF)
        a->put_off[a->put_offs++] = *again;
}

/* The directory answers the first open query. */
static void answer_first(struct adversary *a)
{
    struct question q = a->open[0];

    memmove(&a->open[0], &a->open[1], --a->questions * sizeof a->open[0]);
    if (!board_decide(a, &q.who, (struct span){0}, &q.permit, OFFENCE_RECIPIENT))
        put_off(a, &q.again);
}

/* Moves the time on; messages and answers that are due meanwhile arrive. */
static void advance(struct adversary *a, uint64_t to)
{
    for (;;) {
        struct delivery *first = NULL;
        for (uint32_t i = 0; i < a->deliveries; i++)
            if (a->delivery[i].due <= to && (first == NULL || a->delivery[i].due < first->due))
                first = &a->delivery[i];
        bool answer = a->questions > 0 && a->open[0].due <= to;
        if (answer && (first == NULL || a->open[0].due < first->due)) {
            a->now = a->open[0].due > a->now ? a->open[0].due : a->now;
            answer_first(a);
            continue;
        }
        if (first == NULL)
            break;
        struct delivery d = *first;
        *first = a->delivery[--a->deliveries];
        deliver(a, &d);
    }
    a->now = to > a->now ? to : a->now;
}

/* ---- questions ---- */

/* A name that nobody has asked for, with the sender of now. */
static struct put_off new_name(struct adversary *a)
{
    char text[32];
    int n = snprintf(text, sizeof text, "n%u@example.org", ++a->names);

    return (struct put_off){.mailbox = tarpit_mailbox(&a->tarpit, (struct span){text, (size_t)n}),
                            .network = network_of(a, a->address),
                            .domain = a->domain[a->address],
                            .new_domain = a->new_domain[a->address]};
}

/* Makes `many` queries at the same moment, each on its own connection. */
static void ask(struct adversary *a, uint32_t many, uint64_t latency, bool login, bool accounts)
{
    static struct tarpit_permit permit[TOGETHER];
    static struct put_off name_of[TOGETHER];
    struct tarpit_who *who = &a->who[a->address];
    enum offence bad = login ? OFFENCE_AUTH : OFFENCE_RECIPIENT;
    char name[16] = "bob";
    struct span user = {name, login ? 3 : 0};

    a->asked |= 1U << a->address;
    for (int verdict = 0; verdict < 2; verdict++) {
        for (uint32_t i = 0; i < many; i++) {
            if (login && accounts)
                user.len = (size_t)snprintf(name, sizeof name, "user%u", i);
            if (verdict == 0 && login) {
                permit[i] = tarpit_ask(&a->tarpit, who, user, a->now);
            } else if (verdict == 0) {
                name_of[i] = new_name(a);
                permit[i] = tarpit_ask_recipient(&a->tarpit, who, name_of[i].mailbox, a->now);
            } else if (permit[i].masked || !board_decide(a, who, user, &permit[i], bad)) {
                board_holds(a, permit[i].hold.ms);
                if (!login)
                    put_off(a, &name_of[i]);
            }
        }
        if (verdict == 0)
            advance(a, a->now + latency);
    }
    a->moves += many - 1;
}

/* Makes queries that the directory answers later, while other moves are made. */
static void leave_open(struct adversary *a, uint32_t many)
{
    a->asked |= 1U << a->address;
    for (uint32_t i = 0; i < many && a->questions < QUESTIONS; i++) {
        struct question *q = &a->open[a->questions];
        *q = (struct question){
            .due = a->now + OPEN_MS, .who = a->who[a->address], .again = new_name(a)};
        q->permit = tarpit_ask_recipient(&a->tarpit, &q->who, q->again.mailbox, a->now);
        a->moves += i > 0;
        if (q->permit.masked) {
            board_holds(a, q->permit.hold.ms);
            put_off(a, &q->again);
        } else {
            a->questions++;
        }
    }
}

static void name_sender(struct adversary *a, uint8_t domain, uint32_t new_domain);

/* Asks again for names that were put off in this network, each with its own sender. */
static void retry(struct adversary *a, uint32_t many)
{
    struct tarpit_who *who = &a->who[a->address];
    uint32_t before = a->put_offs, kept = 0;
    uint8_t domain = a->domain[a->address];
    uint32_t new_domain = a->new_domain[a->address];

    a->asked |= 1U << a->address;
    for (uint32_t i = 0; i < before; i++) {
        struct put_off p = a->put_off[i];
        if (many == 0 || p.network != network_of(a, a->address)) {
            a->put_off[kept++] = p;
            continue;
        }
        many--;
        a->moves++;
        name_sender(a, p.domain, p.new_domain);
        struct tarpit_permit permit = tarpit_ask_recipient(&a->tarpit, who, p.mailbox, a->now);
        if (permit.masked || !board_decide(a, who, (struct span){0}, &permit, OFFENCE_RECIPIENT)) {
            board_holds(a, permit.hold.ms);
            a->put_off[kept++] = p;
        }
    }
    a->put_offs = kept;
    name_sender(a, domain, new_domain);
}

static void answer_open(struct adversary *a)
{
    while (a->questions > 0)
        answer_first(a);
}

/* ---- messages ---- */

/* Makes queries for known mailboxes; those that are not deferred get the message when the last
 * reply has come. */
static void write_to(struct adversary *a, uint32_t first, uint32_t many, bool same, bool send)
{
    struct delivery d = {.who = a->who[a->address],
                         .address = a->address,
                         .domain = a->domain[a->address],
                         .first = (uint16_t)first,
                         .same = same};
    uint64_t longest = 0;

    for (uint32_t i = 0; i < many; i++) {
        struct tarpit_permit permit = tarpit_ask(&a->tarpit, &d.who, (struct span){0}, a->now);
        struct tarpit_hold h = permit.hold;
        if (!permit.masked)
            h = tarpit_verdict(&a->tarpit, &d.who, (struct span){0}, &permit, OFFENCE_NONE, a->now);
        if (h.masked)
            break; /* the others would be masked too, so they are skipped */
        longest = h.ms > longest ? h.ms : longest;
        d.count++;
    }
    a->moves += many - 1;
    d.due = a->now + longest;
    if (send && d.count > 0 && a->deliveries < DELIVERIES)
        a->delivery[a->deliveries++] = d;
    advance(a, a->now);
}

/* ---- moves ---- */

/* `new_domain`: the number of a domain that is DOMAIN_NEW. */
static void name_sender(struct adversary *a, uint8_t domain, uint32_t new_domain)
{
    char name[32];
    struct tarpit_who *who = &a->who[a->address];

    a->domain[a->address] = domain;
    a->new_domain[a->address] = new_domain;
    if (domain == DOMAIN_NONE) {
        tarpit_sender(&a->tarpit, who, (struct span){0});
        return;
    }
    int n = domain == DOMAIN_NEW ? snprintf(name, sizeof name, "new%u.example", new_domain)
                                 : snprintf(name, sizeof name, "d%u.example", domain);
    tarpit_sender(&a->tarpit, who, (struct span){name, (size_t)n});
}

static void sender_is(struct adversary *a, uint8_t domain)
{
    if (domain == DOMAIN_NEW) {
        a->new_domains++;
        a->pair[network_of(a, a->address)][DOMAIN_NEW] = (struct earned){0};
    }
    name_sender(a, domain, a->new_domains);
}

static uint64_t queue_ends(const struct adversary *a)
{
    const struct tarpit_who *who = &a->who[a->address];
    struct ledger_key k[2] = {{who->client, who->client_label, LEDGER_CLIENT},
                              {who->network, who->network_label, LEDGER_NETWORK}};
    for (int i = 0; i < 2; i++) {
        struct ledger_entry e;
        ledger_get(a->tarpit.ledger, &k[i], &(struct ledger_decay){0}, a->now, &e);
        if (e.turn_ms > a->now)
            return e.turn_ms;
    }
    return a->now + 1000;
}

/* A message has a hundred recipients at most, unless they are one and the same. */
uint32_t adversary_count(const struct adversary_move *m)
{
    uint32_t many = adversary_many[m->a % ADVERSARY_MANY];
    bool bounded = m->kind == MOVE_KNOWN || m->kind == MOVE_DELIVER ||
                   m->kind == MOVE_DELIVER_NEXT || m->kind == MOVE_OFFEND || m->kind == MOVE_OPEN;
    return bounded && many > 100 ? 100 : many;
}

enum offence adversary_offence(const struct adversary_move *m)
{
    unsigned o = m->b % OFFENCE_COUNT;

    while (o == OFFENCE_NONE || policy_is_verdict((enum offence)o)) /* these are moves themselves */
        o = (o + 1) % OFFENCE_COUNT;
    return (enum offence)o;
}

static void offend(struct adversary *a, uint32_t many, enum offence o)
{

    if (o == OFFENCE_TRAP)
        tarpit_trapped(&a->tarpit, &a->who[a->address], a->now);
    for (uint32_t i = 0; i < many; i++) {
        struct tarpit_hold h = tarpit_offence(&a->tarpit, &a->who[a->address], o, a->now);
        board_holds(a, h.ms);
    }
    a->moves += many - 1;
}

/* R22: connects, and waits for the greeting. */
static void be_greeted(struct adversary *a)
{
    struct tarpit_who who = a->who[a->address];
    struct tarpit_hold h;

    before_mail(&who);
    h = tarpit_greet(&a->tarpit, &who, a->now);
    advance(a, a->now + h.ms);
    if (h.rule == RULE_GREET)
        tarpit_greeted(&a->tarpit, &who, a->now);
}

static void make(struct adversary *a, const struct adversary_move *m)
{
    uint32_t many = adversary_count(m);
    uint32_t ms = adversary_time[m->a % ADVERSARY_TIMES];

    a->moves++;
    switch ((enum adversary_kind)m->kind) {
    case MOVE_ASK: ask(a, many, 0, false, false); break;
    case MOVE_ASK_SLOW: ask(a, many, SLOW_MS, false, false); break;
    case MOVE_OPEN: leave_open(a, many); break;
    case MOVE_RETRY: retry(a, many); break;
    case MOVE_ANSWER: answer_open(a); break;
    case MOVE_GUESS: ask(a, many, 0, true, false); break;
    case MOVE_GUESS_MANY: ask(a, many, 0, true, true); break;
    case MOVE_KNOWN: write_to(a, 0, many, false, false); break;
    case MOVE_DELIVER: write_to(a, 0, many, false, true); break;
    case MOVE_DELIVER_NEXT:
        write_to(a, a->next_mailbox, many, false, true);
        a->next_mailbox = (a->next_mailbox + many) % ADVERSARY_MAILBOXES;
        break;
    case MOVE_REPEAT: write_to(a, 0, many, true, true); break;
    case MOVE_OFFEND: offend(a, many, adversary_offence(m)); break;
    case MOVE_GREET: be_greeted(a); break;
    case MOVE_GIVE_UP: tarpit_gave_up(&a->tarpit, &a->who[a->address], ms, a->now); break;
    case MOVE_SLEEP: advance(a, a->now + ms); break;
    case MOVE_TURN: advance(a, queue_ends(a)); break;
    case MOVE_REPLIES: advance(a, a->last_reply); break;
    case MOVE_SENDER: sender_is(a, m->a % ADVERSARY_DOMAINS); break;
    case MOVE_NEW_SENDER: sender_is(a, DOMAIN_NEW); break;
    case MOVE_NO_SENDER: sender_is(a, DOMAIN_NONE); break;
    case MOVE_ADDRESS: a->address = m->a % ADVERSARY_ADDRESSES; break;
    case MOVE_KINDS: break;
    }
    advance(a, a->now + STEP_MS);
}

/* ---- the game ---- */

static void set_up(struct adversary *a, bool ip6)
{
    board_put_back(a, a->empty);
    memset(a->minute, 0, (a->last_minute + 1) * sizeof a->minute[0]);
    memset(a->client, 0, sizeof a->client);
    memset(a->pair, 0, sizeof a->pair);
    a->now = a->last_reply = BEGIN;
    a->moves = a->leaked = 0;
    a->deliveries = a->questions = a->last_minute = a->next_mailbox = a->new_domains = 0;
    a->asked = a->names = a->put_offs = 0;
    retries_restart(a->tarpit.retries, 1);
    a->ip6 = ip6;
    for (int i = 0; i < ADVERSARY_ADDRESSES; i++) {
        struct addr from = address_of(ip6, (uint8_t)i);
        a->who[i] = tarpit_who(&a->tarpit, &from, false);
        a->address = (uint8_t)i;
        sender_is(a, DOMAIN_NEW);
    }
    a->address = 0;
}

/* The verdicts of the best hour, without those that were bought until then and not used before. */
static double best_hour(const struct adversary *a, double clients, double pairs)
{
    double credit = 0, best = 0, sum = 0;
    static double beyond[MINUTES];

    for (uint32_t m = 0; m <= a->last_minute; m++) {
        const struct minute *one = &a->minute[m];
        credit += one->by_client * clients + one->by_pair * pairs;
        double spent = one->paid < credit ? one->paid : credit;
        credit -= spent;
        beyond[m] = one->learnt - spent;
        sum += beyond[m];
        if (m >= 60)
            sum -= beyond[m - 60];
        best = sum > best ? sum : best;
    }
    return best;
}

static void sum_up(struct adversary *a, struct adversary_result *out)
{
    double each = a->tarpit.rules.good_ratio > 0 ? 1 / a->tarpit.rules.good_ratio : 0;

    *out = (struct adversary_result){
        .leaked = a->leaked,
        .moves = a->moves,
        .hours = (double)(a->now - BEGIN) / HOUR_MS,
        .addresses = (uint32_t)__builtin_popcount(a->asked),
        .evicted = ledger_stats(a->tarpit.ledger).evictions > 0,
    };
    for (uint32_t m = 0; m <= a->last_minute; m++) {
        out->learnt += a->minute[m].learnt;
        out->bought += a->minute[m].by_client * each;
    }
    if (out->addresses == 0)
        return;
    out->gain = best_hour(a, each, 0) / out->addresses;
    out->gain_pairs = best_hour(a, each, each) / out->addresses;
}

void adversary_play(struct adversary *a, const struct adversary_plan *plan, double hours,
                    uint64_t moves, struct adversary_result *out)
{
    uint64_t end = BEGIN + (uint64_t)((hours < HOURS_MOST ? hours : HOURS_MOST) * HOUR_MS);
    uint32_t count = plan->once + plan->again;

    set_up(a, plan->ip6);
    for (uint32_t i = 0; i < count && a->now < end && a->moves < moves;) {
        make(a, &plan->move[i]);
        if (++i == count && plan->again > 0)
            i = plan->once;
    }
    answer_open(a);
    advance(a, a->now + 5 * MINUTE_MS); /* what is still held */
    sum_up(a, out);
}
