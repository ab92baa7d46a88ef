/* One step of an agent: one command, for which the tarpit is asked as in a worker, and one reply,
 * for which the agent waits as long as its kind of sender does. */
#include <assert.h>

#include "schedules.h"
#include "tarpit/policy.h"
#include "world_part.h"

/* When a mail server tries again: Postfix's times. */
enum { RETRY_FIRST = 300 * SIM_SECOND, RETRY_MOST = 4000 * SIM_SECOND };

/* How an agent received a reply. */
struct heard {
    uint64_t ms;  /* after the command */
    bool gave_up; /* before it came */
    bool left;    /* it left after the first line, which had the verdict */
};

static bool is_attacker(const struct agent *a)
{
    return a->group->role <= SIM_SPAM;
}

double agent_chance(struct agent *a)
{
    a->random = a->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(a->random >> 11) * 0x1p-53;
}

/* ---- waiting ---- */

/* When a reader that tolerates `most` ms of silence gives up; UINT64_MAX: it gets the reply. */
static uint64_t silence_ends_it(const struct tarpit_rules *r, const struct tarpit_hold *h,
                                uint64_t most)
{
    uint64_t last = 0;
    for (uint32_t lines = 0;; lines++) {
        uint64_t next = drip_next(r, 0, h, lines, last);
        if ((next != 0 ? next : h->ms) - last > most)
            return last + most;
        if (next == 0)
            return UINT64_MAX;
        last = next;
    }
}

static struct heard wait_for(const struct world *w, const struct agent *a,
                             const struct tarpit_hold *h)
{
    const struct sim_group *g = a->group;
    struct heard heard = {.ms = h->ms};
    uint64_t bears = g->bears_s > 0 ? (uint64_t)(g->bears_s * SIM_SECOND) : UINT64_MAX;

    if (g->hasty && h->drip_at_ms != 0)
        heard = (struct heard){.ms = h->drip_at_ms, .left = true};
    if (g->reads_s > 0) {
        uint64_t at =
            silence_ends_it(&w->tarpit[a->server].rules, h, (uint64_t)(g->reads_s * SIM_SECOND));
        bears = at < bears ? at : bears;
    }
    return heard.ms > bears ? (struct heard){.ms = bears, .gave_up = true} : heard;
}

/* ---- coming and going ---- */

static void leave(struct world *w, struct agent *a, uint64_t now)
{
    uint64_t until = now < w->end ? now : w->end;
    if (is_attacker(a) && until > a->connected)
        w->result->hours_spent += (double)(until - a->connected) / SIM_HOUR;
    a->stage = STAGE_GREETING;
    ask_left(w, a);
}

/* Postfix's way: five minutes, then twice as long each time. */
static uint64_t postfix_wait(const struct agent *a)
{
    uint64_t wait = RETRY_FIRST;
    for (uint32_t i = 1; i < a->tries && wait < RETRY_MOST; i++)
        wait *= 2;
    return wait < RETRY_MOST ? wait : RETRY_MOST;
}

/* When a mail server tries again; 0: not any more. */
static uint64_t retry_at(struct world *w, struct agent *a, uint64_t now)
{
    const struct sim_schedule *s = a->group->schedule;
    uint64_t wait;

    a->tries++;
    a->own_ms += SIM_RTT_MS;
    if (!s)
        return now + postfix_wait(a);
    wait = sim_schedule_wait(s, a->tries, (double)(now - a->began) / SIM_SECOND) *
           (uint64_t)SIM_SECOND;
    if (wait == 0) {
        w->result->lost += (uint64_t)__builtin_popcountll(a->todo & a->exists);
        return 0;
    }
    return now + wait;
}

/* The conversation is over, one way or the other. An attacker is back at once. */
static uint64_t come_again(struct world *w, struct agent *a, uint64_t now)
{
    leave(w, a, now);
    if (is_attacker(a))
        return now + SIM_RTT_MS;
    return a->todo != 0 ? retry_at(w, a, now) : 0;
}

static uint64_t give_up(struct world *w, struct agent *a, uint64_t now, uint64_t waited)
{
    tarpit_gave_up(&w->tarpit[a->server], &a->who, waited, now + waited);
    return come_again(w, a, now + waited);
}

/* R22: it has talked before its greeting, hears a 554 and is back. */
static uint64_t talk_early(struct world *w, struct agent *a, uint64_t now)
{
    w->result->early++;
    uint64_t held =
        tarpit_offence(&w->tarpit[a->server], &a->who, OFFENCE_EARLY, now + SIM_RTT_MS).ms;
    return come_again(w, a, now + SIM_RTT_MS + held);
}

/* R22: the pause is over, and it has said nothing. */
static void pass(struct world *w, struct agent *a, uint64_t now)
{
    if (a->pauses)
        tarpit_greeted(&w->tarpit[a->server], &a->who, now);
    a->pauses = false;
}

static uint64_t connect_and_greet(struct world *w, struct agent *a, uint64_t now)
{
    const struct sim_group *g = a->group;
    bool begins = a->stage == STAGE_GREETING;
    if (begins) {
        if (g->roams) {
            struct addr from = agent_address(g, (uint32_t)(agent_chance(a) * g->addresses));
            a->who = tarpit_who(&w->tarpit[a->server], &from, false);
        }
        a->connected = now;
        a->asked = a->taken = 0;
    }
    if (a->stage >= STAGE_MAIL)
        agent_says_sender(w, a);
    else
        before_mail(&a->who);
    pass(w, a, now);
    struct tarpit_hold h = begins ? ask_greet(w, a, now) : ask_wait(w, a, now);
    struct heard heard = wait_for(w, a, &h);
    if (begins && h.ms > 0 && a->talks_first)
        return talk_early(w, a, now);
    if (heard.gave_up)
        return give_up(w, a, now, heard.ms);
    a->pauses = begins && h.rule == RULE_GREET;
    a->stage++;
    return now + heard.ms + SIM_RTT_MS;
}

/* ---- verdicts ---- */

static bool is_login(const struct agent *a)
{
    return a->group->role == SIM_GUESS || a->group->role == SIM_LOGIN;
}

static struct tarpit_hold verdict(struct world *w, struct agent *a, uint64_t mailbox, bool exists,
                                  uint64_t now)
{
    struct span user = is_login(a) ? SIM_ACCOUNT : (struct span){0};
    enum offence bad = is_login(a)       ? OFFENCE_AUTH
                       : a->group->traps ? OFFENCE_TRAP
                                         : OFFENCE_RECIPIENT;
    return ask_verdict(w, a, user, mailbox, exists ? OFFENCE_NONE : bad, now);
}

/* The name that a harvester asks for. One that imitates retries asks for each of its names until it
 * has learnt the verdict. */
static uint32_t *draw_name(struct world *w, struct agent *a)
{
    uint32_t names = a->group->names;

    if (names > 1)
        a->next_name = (a->next_name + 1) % names;
    uint32_t *name = &a->name[a->next_name];
    if (names == 0 || *name == 0)
        *name = ++w->names;
    return name;
}

/* A harvester's or password guesser's next. */
static uint64_t guess(struct world *w, struct agent *a, uint64_t now)
{
    struct sim_result *r = w->result;
    bool exists = agent_chance(a) >= a->group->missing;
    uint32_t *name = draw_name(w, a);
    struct tarpit_hold h = verdict(w, a, name_mailbox(w, a, *name), exists, now);
    struct heard heard = wait_for(w, a, &h);
    uint64_t then = now + heard.ms;

    if (heard.gave_up)
        return give_up(w, a, now, heard.ms);
    if (!h.masked)
        *name = 0; /* learnt */
    if (!h.masked && then <= w->end && w->guesses_left > 0) {
        r->verdicts++;
        r->found += exists;
        if (--w->guesses_left == 0)
            r->exhausted_s = (double)(then - SIM_BEGIN) / SIM_SECOND;
    }
    return heard.left || a->group->leaves ? come_again(w, a, then) : then + SIM_RTT_MS;
}

static void note_delivered(struct world *w, const struct agent *a, uint64_t now, uint32_t count)
{
    struct sim_result *r = w->result;
    uint64_t took = now - a->began;
    uint64_t late = took > a->own_ms ? took - a->own_ms : 0;
    double late_s = (double)late / SIM_SECOND;

    if (w->fate && !w->shadows)
        w->fate[a - w->agent].late_ms = late;
    r->delivered += count;
    r->delay_sum_s += late_s * count;
    r->late += late > SIM_SECOND ? count : 0;
    if (agent_is_correspondent(w, a)) {
        r->of_correspondents += count;
        r->correspondents_late += late > SIM_SECOND ? count : 0;
    }
    r->delay_worst_s = late_s > r->delay_worst_s ? late_s : r->delay_worst_s;
}

/* The end of a connection that makes one query only: a call-out, a login. */
static uint64_t answered(struct world *w, struct agent *a, uint64_t now, bool masked)
{
    if (!masked) {
        a->todo = 0;
        note_delivered(w, a, now, 1);
    }
    return come_again(w, a, now);
}

/* The next recipient of a message, or the step after the last. A masked recipient is tried again in
 * another conversation. */
static uint64_t recipient(struct world *w, struct agent *a, uint64_t now)
{
    uint64_t left = a->todo & ~a->asked, bit = left & -left;
    bool exists = a->exists & bit;

    if (left == 0 && a->taken == 0)
        return come_again(w, a, now);
    if (left == 0) {
        a->stage = STAGE_DATA;
        return now;
    }
    uint64_t mailbox = agent_mailbox(w, a, (uint32_t)__builtin_ctzll(bit));
    struct tarpit_hold h = verdict(w, a, mailbox, exists, now);
    struct heard heard = wait_for(w, a, &h);
    if (heard.gave_up)
        return give_up(w, a, now, heard.ms);
    a->asked |= bit;
    if (a->group->role == SIM_CALL_OUT || a->group->role == SIM_LOGIN)
        return answered(w, a, now + heard.ms, h.masked);
    if (!h.masked && exists)
        a->taken |= bit;
    if (h.masked && exists && w->fate && !w->shadows)
        w->fate[a - w->agent].put_off = true;
    if (!h.masked && !exists) {
        a->todo &= ~bit;
        w->result->typos_told += a->group->role == SIM_MAIL;
    }
    return now + heard.ms + SIM_RTT_MS;
}

static uint64_t data(struct world *w, struct agent *a, uint64_t now)
{
    uint32_t count = (uint32_t)__builtin_popcountll(a->taken);
    agent_delivers(w, a, a->taken, now);
    ask_delivered(w, a, now);
    a->todo &= ~a->taken;
    if (a->group->role == SIM_MAIL) {
        note_delivered(w, a, now, count);
    } else if (a->group->role == SIM_SPAM) {
        w->result->spam += count;
        agent_begin_message(w, a, now);
    }
    return come_again(w, a, now);
}

uint64_t agent_step(struct world *w, struct agent *a, uint64_t now)
{
    enum sim_role role = a->group->role;

    if (is_attacker(a) && (now >= w->end || w->guesses_left == 0)) {
        leave(w, a, now);
        return 0;
    }
    if (role == SIM_EARLY) {
        ask_offence(w, a, OFFENCE_EARLY, now);
        ask_left(w, a);
        return 0;
    }
    a->own_ms += a->stage == STAGE_DATA ? 0 : SIM_RTT_MS;
    if (a->stage < STAGE_ASK)
        return connect_and_greet(w, a, now);
    if (a->stage == STAGE_DATA)
        return data(w, a, now);
    return role == SIM_HARVEST || role == SIM_GUESS ? guess(w, a, now) : recipient(w, a, now);
}
