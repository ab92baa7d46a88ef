/* What the web process asks for (control/members.h): the state of the fleet (status.c), and orders to
 * the other members to do what was done here (release, exempt, end an exemption).
 *
 * An order is an entry of the stream with a number. Each member carries it out once and says so in
 * another entry. The asker hears which members did, as soon as all present members have, or after
 * ORDER_MS. Each member keeps the order (orderbook.h) and tells it to members that start later, and
 * to all when it was away itself. Only the release of an account is not kept. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "fleet/fleet_part.h"

enum { ORDER_MS = 2000, LIST_TEXT = 1024 };
enum { DOING_MS = 5000, TELL_MS = 300, TELL_AGAIN_MS = 10 * 60 * 1000, TELLERS = 3 };

static uint64_t fleet_now(const struct fleet *f)
{
    return (uint64_t)((int64_t)f->loop.wall + f->mirror.skew);
}

static uint64_t local_time(const struct fleet *f, uint64_t fleet_ms)
{
    int64_t there = (int64_t)fleet_ms - f->mirror.skew;
    return there > 0 ? (uint64_t)there : 1;
}

/* ---- orders of this member ---- */

static void finish(struct fleet *f, struct fleet_order *o)
{
    char did[LIST_TEXT] = "", not [LIST_TEXT] = "", text[2 * LIST_TEXT + 4];

    for (uint16_t i = 1; i < f->members.count; i++) {
        const struct member *m = &f->members.at[i];
        bool has = o->did[i / 8] >> (i % 8) & 1;
        if (!has && !members_is_present(&f->members, m, f->loop.wall))
            continue;
        char *list = has ? did : not ;
        size_t len = strlen(list);
        snprintf(list + len, LIST_TEXT - len, "%s%s", len ? ", " : "", m->name);
    }
    snprintf(text, sizeof text, "%s;%s", did, not );
    status_answer(f, o->tag, text);
    loop_alarm_off(&f->loop, &o->alarm);
    o->id = 0;
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    finish(fleet_of(loop), (struct fleet_order *)((char *)a - offsetof(struct fleet_order, alarm)));
}

static bool is_done(const struct fleet *f, const struct fleet_order *o)
{
    for (uint16_t i = 1; i < f->members.count; i++) {
        const struct member *m = &f->members.at[i];
        bool present = members_is_present(&f->members, m, f->loop.wall);
        if (present && !(o->did[i / 8] >> (i % 8) & 1))
            return false;
    }
    return true;
}

static struct fleet_order *order_of(struct fleet *f, uint64_t id)
{
    for (int i = 0; i < FLEET_ORDERS; i++)
        if (f->order[i].id == id)
            return &f->order[i];
    return NULL;
}

/* For clients that only others know, this ledger has no entry to forget, so their shares go. */
static void forget_shares(struct fleet *f, const struct order_kept *o)
{
    uint64_t at_ms = local_time(f, o->stamp_ms);
    struct ledger_name name;
    uint32_t at = 0;

    if (o->verb == ORDER_UNEXEMPT)
        return;
    while (book_next(f->mirror.book, &at, &name)) {
        struct ledger_key k = ledger_key_named(f->params->ledger, &name);
        struct addr a = ledger_key_addr(&k);
        if (k.hash && network_contains(&o->network, &a))
            mirror_forget(&f->mirror, &name, at_ms, f->loop.wall);
    }
}

/* From "VERB NETWORK UNTIL", in this machine's time. It is later than any order of that kind. */
static bool read_own(struct fleet *f, const char *what, struct order_kept *o)
{
    char text[ORDER_TEXT];
    struct order_kept last;
    uint64_t id;

    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return false;
    int len = snprintf(text, sizeof text, "%016" PRIx64 " %s 1", id | 1, what);
    if (len >= (int)sizeof text || !orderbook_read((struct span){text, (size_t)len}, o))
        return false;
    if (o->until_ms)
        o->until_ms = (uint64_t)((int64_t)o->until_ms + f->mirror.skew);
    o->stamp_ms = fleet_now(f);
    if (orderbook_of(f->params->orderbook, &o->network, o->verb == ORDER_RELEASE, o->stamp_ms,
                     &last) &&
        last.stamp_ms >= o->stamp_ms && last.stamp_ms < o->stamp_ms + ORDER_AHEAD_MS)
        o->stamp_ms = last.stamp_ms + 1;
    return true;
}

/* Sends it, and answers the asker when all have done it, or in ORDER_MS. */
static void order_members(struct fleet *f, uint64_t tag, uint64_t id, const char *text)
{
    struct fleet_order *o = order_of(f, 0);

    if (!o) {
        status_answer(f, tag, ";the other members");
        return;
    }
    *o = (struct fleet_order){.id = id, .tag = tag, .alarm = {.due = time_is_up}};
    send_order(f, text);
    if (is_done(f, o)) /* it is alone */
        finish(f, o);
    else
        loop_alarm(&f->loop, &o->alarm, f->loop.now + ORDER_MS);
}

/* Members that began to count before that time have counted what was released. */
static void release_usage(struct fleet *f, uint64_t account, uint64_t stamp_ms)
{
    usage_release(f->usage, account, (uint32_t)(stamp_ms / 1000 + 1), f->loop.wall);
}

static void account_released(struct fleet *f, uint64_t account, uint64_t stamp_ms)
{
    release_usage(f, account, stamp_ms);
    orderbook_account_released(f->params->orderbook, account, stamp_ms, fleet_now(f));
}

static void begin_order(struct fleet *f, uint64_t tag, const char *what)
{
    struct order_kept order;
    char text[ORDER_TEXT];

    if (!read_own(f, what, &order)) {
        status_answer(f, tag, ";the other members");
        return;
    }
    if (orderbook_take(f->params->orderbook, &order, true, fleet_now(f)) == ORDER_REFUSED)
        log_warn("fleet: there are too many standing orders; members that come later will not "
                 "hear of: %s",
                 what);
    forget_shares(f, &order);
    if (f->state != FLEET_UP || f->refused) {
        status_answer(f, tag, ";the other members until Redis is back");
        return;
    }
    orderbook_write(&order, text);
    order_members(f, tag, order.id, text);
}

/* An account was released here: "ID NAME". The id is that of its allowance. */
static void begin_account_order(struct fleet *f, uint64_t tag, const char *what)
{
    struct order_account o = {.stamp_ms = fleet_now(f)};
    char text[ORDER_ACCOUNT_TEXT];
    const char *name = strchr(what, ' ');
    uint64_t account = strtoull(what, NULL, 16);

    send_turn(f, true); /* what was sent before it is counted before it */
    if (account)
        account_released(f, account, o.stamp_ms);
    snprintf(o.name, sizeof o.name, "%s", name ? name + 1 : "");
    bool sent = f->state == FLEET_UP && !f->refused &&
                getrandom(&o.id, sizeof o.id, 0) == sizeof o.id && o.id &&
                orderbook_write_account(&o, text) > 0;
    if (sent)
        order_members(f, tag, o.id, text);
    else
        status_answer(f, tag, ";the other members");
}

/* ---- orders of others ---- */

/* True: to be carried out here. */
static bool take(struct fleet *f, const struct member *m, const struct order_kept *o)
{
    switch (orderbook_take(f->params->orderbook, o, false, fleet_now(f))) {
    case ORDER_KNOWN: return false;
    case ORDER_REFUSED:
        if (f->orders_refused++ == 0)
            log_warn("fleet: an order of member %s is refused: it is from the future, or there "
                     "are too many",
                     m->name);
        return false;
    case ORDER_TAKEN: break;
    }
    forget_shares(f, o);
    return true;
}

static bool is_live(const struct fleet *f, uint64_t id)
{
    for (int i = 0; i < FLEET_ORDERS_SEEN; i++)
        if (f->live_order[i] == id)
            return true;
    return false;
}

/* "ID done". */
static bool take_done(struct fleet *f, const struct member *m, struct span order)
{
    struct span id_text = span_first(order, span_find(order, ' '));
    char text[32];

    if (id_text.len != 16 || !span_equal(span_after(order, 17), SPAN("done")))
        return false;
    snprintf(text, sizeof text, "%.*s", (int)id_text.len, id_text.at);
    uint64_t id = strtoull(text, NULL, 16);
    struct fleet_order *o = id ? order_of(f, id) : NULL;
    uint16_t i = members_number(&f->members, m);
    if (o) {
        o->did[i / 8] |= (uint8_t)(1 << (i % 8));
        if (is_done(f, o))
            finish(f, o);
    }
    return true;
}

static void say_live(struct fleet *f, const struct member *m, uint64_t id, struct span order)
{
    log_info("fleet: member %s: %.*s", m->name, (int)span_after(order, 17).len,
             span_after(order, 17).at);
    f->live_order[f->live_orders++ % FLEET_ORDERS_SEEN] = id;
}

/* One at a time, because the web process reads its whole ledger. If it does not confirm an order,
 * the asker hears that this member was not reached. */
static bool take_account(struct fleet *f, const struct member *m, struct span order)
{
    char text[ORDER_ACCOUNT_TEXT];
    struct order_account o;

    if (!orderbook_read_account(order, fleet_now(f), &o))
        return false;
    if (f->account.id && f->loop.now < f->account_since_ms + DOING_MS)
        return true;
    snprintf(text, sizeof text, "release-account %s", o.name);
    if (channel_tell(f->params->control, NOTE_FLEET_DO, 0, o.id, text) < 0)
        return true;
    f->account = o;
    f->account_since_ms = f->loop.now;
    say_live(f, m, o.id, order);
    return true;
}

void orders_take(struct fleet *f, struct member *m, struct span order)
{
    struct order_kept o;

    if (take_done(f, m, order) || take_account(f, m, order) || !orderbook_read(order, &o) ||
        !take(f, m, &o))
        return;
    say_live(f, m, o.id, order);
    orders_turn(f);
}

void orders_take_standing(struct fleet *f, struct member *m, struct span lines)
{
    struct order_kept o;
    unsigned taken = 0;

    while (lines.len) {
        size_t end = span_find(lines, '\n');
        if (orderbook_read(span_first(lines, end), &o))
            taken += take(f, m, &o);
        lines = span_after(lines, end + 1);
    }
    if (taken)
        log_info("fleet: %u standing orders from member %s", taken, m->name);
}

/* One at a time, because a release may read the whole ledger. An order that the web process does
 * not confirm, because it died, is given to it again. */
static void carry_out(struct fleet *f)
{
    struct order_kept o;
    char text[ORDER_TEXT], network[ADDR_TEXT];

    if (f->doing && f->loop.now < f->doing_since_ms + DOING_MS)
        return;
    f->doing = 0;
    if (!orderbook_to_do(f->params->orderbook, fleet_now(f), &o))
        return;
    const char *verb = o.verb == ORDER_RELEASE               ? "release"
                       : orderbook_exempts(&o, fleet_now(f)) ? "exempt"
                                                             : "unexempt";
    snprintf(text, sizeof text, "%s %s %" PRIu64, verb, network_format(&o.network, network),
             o.until_ms ? local_time(f, o.until_ms) : 0);
    if (channel_tell(f->params->control, NOTE_FLEET_DO, 0, o.id, text) < 0)
        return;
    f->doing = o.id;
    f->doing_since_ms = f->loop.now;
}

/* ---- telling members that come later ---- */

/* What was exempt before there was a fleet. Any order about it is later. */
static void adopt_exemptions(struct fleet *f)
{
    const struct ledger *ledger = f->params->ledger;
    struct ledger_decay d = {f->mirror.rules.half_life, f->mirror.rules.good_half_life};
    struct order_kept o, last;
    struct ledger_entry e;
    struct ledger_key k;
    struct addr who;
    uint64_t at = 0, now = fleet_now(f);

    while (ledger_next(ledger, &at, &d, f->loop.wall, &k, &who, &e)) {
        if (!(e.flags & LEDGER_EXEMPT) || (k.kind != LEDGER_CLIENT && k.kind != LEDGER_NETWORK))
            continue;
        o = (struct order_kept){
            .stamp_ms = 1, .verb = ORDER_EXEMPT, .network = {who, (uint8_t)ledger_key_bits(&k)}};
        if (e.exempt_until_ms)
            o.until_ms = (uint64_t)((int64_t)e.exempt_until_ms + f->mirror.skew);
        if (!orderbook_of(f->params->orderbook, &o.network, false, now, &last) &&
            getrandom(&o.id, sizeof o.id, 0) == sizeof o.id && o.id)
            orderbook_take(f->params->orderbook, &o, true, now);
    }
}

void orders_joined(struct fleet *f)
{
    if (!f->adopted)
        adopt_exemptions(f);
    f->adopted = true;
    f->tell_ms = f->loop.now + TELL_MS;
}

bool orders_is_teller(const struct fleet *f)
{
    unsigned before = 0;

    for (uint16_t i = 1; i < f->members.count; i++) {
        const struct member *m = &f->members.at[i];
        bool present = members_is_present(&f->members, m, f->loop.wall);
        before += present && strcmp(m->name, f->members.at[0].name) < 0;
    }
    return before < TELLERS;
}

void orders_met(struct fleet *f)
{
    if (f->tell_ms == UINT64_MAX && orders_is_teller(f))
        f->tell_ms = f->loop.now + TELL_MS;
}

static void tell(struct fleet *f)
{
    static char lines[BATCH_OCTETS];
    struct order_kept o;
    uint32_t at = 0;
    size_t len = 0;

    while (orderbook_next(f->params->orderbook, &at, fleet_now(f), &o)) {
        len += orderbook_write(&o, lines + len);
        lines[len++] = '\n';
        if (len + ORDER_TEXT + 1 > sizeof lines) {
            send_standing(f, (struct span){lines, len});
            len = 0;
        }
    }
    if (len)
        send_standing(f, (struct span){lines, len});
    servers_flush(&f->servers);
}

/* What an earlier process of this mired has taken, and what the other one takes during a reload. It
 * is carried out there, but each process has shares of its own. */
void orders_hear(struct fleet *f)
{
    struct order_kept o;

    while (orderbook_hear(f->params->orderbook, fleet_now(f), &o)) {
        if (o.verb == ORDER_ACCOUNT)
            release_usage(f, o.id, o.stamp_ms);
        else
            forget_shares(f, &o);
    }
}

void orders_turn(struct fleet *f)
{
    orders_hear(f);
    carry_out(f);
    if (f->state != FLEET_UP || f->refused)
        return;
    if (f->loop.now >= f->tell_again_ms) { /* what got lost on its way */
        f->tell_again_ms = f->loop.now + TELL_AGAIN_MS;
        orders_met(f);
    }
    if (f->loop.now >= f->tell_ms) {
        f->tell_ms = UINT64_MAX;
        tell(f);
    }
}

static bool is_order(const char *what)
{
    return strncmp(what, "release ", 8) == 0 || strncmp(what, "exempt ", 7) == 0 ||
           strncmp(what, "unexempt ", 9) == 0;
}

/* `note`: of an account's release, the id of its allowance, or "refused". */
static void carried_out(struct fleet *f, uint64_t id, const char *note)
{
    char text[64];

    orderbook_done(f->params->orderbook, id);
    if (f->doing == id)
        f->doing = 0;
    if (!is_live(f, id))
        return;
    snprintf(text, sizeof text, "%016" PRIx64 " done", id);
    send_turn(f, true); /* what was forgotten goes before the word that it was */
    if (f->account.id == id) {
        uint64_t account = strtoull(note, NULL, 16);
        f->account.id = 0;
        if (!account)
            return;
        account_released(f, account, f->account.stamp_ms);
    }
    send_order(f, text);
}

void orders_note(struct fleet *f, const struct note *n)
{
    if (n->kind == NOTE_FLEET_DONE)
        carried_out(f, n->tag, n->text);
    else if (strcmp(n->text, "status") == 0)
        status_tell(f, n->tag);
    else if (strncmp(n->text, "order release-account ", 22) == 0)
        begin_account_order(f, n->tag, n->text + 22);
    else if (strncmp(n->text, "order ", 6) == 0 && is_order(n->text + 6))
        begin_order(f, n->tag, n->text + 6);
}
