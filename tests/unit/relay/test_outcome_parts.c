/* A message for several routes: whatever becomes of each part, the one reply is true of every
 * recipient, and the memory has what a retry needs and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/outcome.h"

enum { PARTS = 4, EACH = 3, DAY = 86400 * 1000, HASH = 7 };
#define T0 UINT64_C(1800000000000)

struct message {
    struct partial_delivery *partial;
    struct job_identity identity;
    struct envelope envelope[PARTS];
    struct job job[PARTS];
    struct job_recipient recipient[PARTS][EACH];
    struct outcome_part part[PARTS];
    size_t parts;
};

static uint32_t dice(uint32_t sides)
{
    static uint64_t seed = 3;

    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % sides;
}

enum { NAME_ROOM = 48 };

static struct span name_of(size_t part, uint32_t i, char room[NAME_ROOM])
{
    snprintf(room, NAME_ROOM, "r%u@d%zu.test", i, part);
    return span_of(room);
}

static void keep(struct kept_reply *k, unsigned code)
{
    struct reply r = {.id = REPLY_OTHER, .code = (uint16_t)code, .arg = SPAN("words")};

    assert_int_equal(kept_set(k, &r), 0);
}

/* A job as a backend may leave it: refused at MAIL, broken before the data or behind the dot, or with
 * an answer for each recipient. */
static void end_job(struct message *m, size_t p)
{
    static const unsigned codes[] = {450, 552};
    struct job *j = &m->job[p];

    m->part[p].unsettled = 0;
    for (uint32_t i = 0; i < j->recipients; i++)
        if (j->recipient[i].fate != FATE_HAS_IT)
            j->recipient[i].fate = FATE_OPEN;
    switch (dice(4)) {
    case 0: keep(&j->whole, codes[dice(2)]); return;
    case 1: m->part[p].unsettled = REPLY_BACKEND_DOWN; return;
    case 2: m->part[p].unsettled = REPLY_BACKEND_DOWN; break;
    default: break;
    }
    j->sent = true;
    keep(&j->whole, 250);
    for (uint32_t i = 0; i < j->recipients; i++) {
        if (j->recipient[i].fate == FATE_HAS_IT)
            continue;
        uint32_t what = dice(8);
        j->recipient[i].fate = what < 5                              ? FATE_DONE
                               : what == 5                           ? FATE_LATER
                               : m->part[p].unsettled /* not told */ ? FATE_TAKEN
                                                                     : FATE_REFUSED;
        if (j->recipient[i].fate == FATE_LATER)
            keep(&j->recipient[i].reply, 450);
        if (j->recipient[i].fate == FATE_REFUSED)
            keep(&j->recipient[i].reply, 552);
    }
}

static void begin(struct message *m)
{
    char room[NAME_ROOM];

    memset(m, 0, sizeof *m);
    assert_int_equal(partial_open(&m->partial, NULL, DAY), 0);
    m->identity = (struct job_identity){.hash = HASH, .vouched = true, .known = true};
    m->parts = dice(PARTS) + 1;
    for (size_t p = 0; p < m->parts; p++) {
        struct job *j = &m->job[p];
        envelope_set_sender(&m->envelope[p], SPAN("a@b.test"), (struct span){0});
        j->envelope = &m->envelope[p];
        j->recipient = m->recipient[p];
        j->recipients = dice(EACH) + 1;
        j->identity = &m->identity;
        for (uint32_t i = 0; i < j->recipients; i++)
            envelope_add_recipient(&m->envelope[p], name_of(p, i, room), (struct span){0});
        m->part[p].job = j;
    }
}

static void clear(struct message *m)
{
    for (size_t p = 0; p < m->parts; p++) {
        kept_free(&m->job[p].whole);
        m->job[p].whole = (struct kept_reply){0};
        m->job[p].sent = false;
        for (uint32_t i = 0; i < m->job[p].recipients; i++) {
            kept_free(&m->recipient[p][i].reply);
            m->recipient[p][i] = (struct job_recipient){0};
        }
    }
}

static void end(struct message *m)
{
    clear(m);
    for (size_t p = 0; p < m->parts; p++)
        envelope_free(&m->envelope[p]);
    partial_close(m->partial);
}

static bool has_it(const struct message *m, size_t p, uint32_t i)
{
    return m->recipient[p][i].fate == FATE_DONE || m->recipient[p][i].fate == FATE_HAS_IT;
}

/* What the recipient's own backend would have had the client told: 2, 4 or 5. */
static int class_of(const struct message *m, size_t p, uint32_t i)
{
    const struct job *j = &m->job[p];

    if (has_it(m, p, i))
        return 2;
    if (!j->sent && j->whole.code)
        return j->whole.code / 100;
    return m->recipient[p][i].fate == FATE_REFUSED ? 5 : 4;
}

static void test_the_reply_is_true_of_every_recipient_and_retries_settle_each_once(void **state)
{
    for (int run = 0; run < 20000; run++) {
        struct message m;
        bool told = false;
        unsigned copies[PARTS][EACH] = {{0}};
        begin(&m);
        for (int tries = 0; tries < 40 && !told; tries++) {
            uint32_t all = 0, of[6] = {0}, accepted, before, had = 0;
            char room[NAME_ROOM];
            for (size_t p = 0; p < m.parts; p++) {
                (void)outcome_begin(&m.job[p], m.partial, T0);
                end_job(&m, p);
                if (dice(2)) /* it ends before the others */
                    outcome_note(&m.job[p], m.partial, T0);
            }
            for (size_t p = 0; p < m.parts; p++)
                for (uint32_t i = 0; i < m.job[p].recipients; i++) {
                    all++;
                    of[class_of(&m, p, i)]++;
                    had += m.recipient[p][i].fate == FATE_HAS_IT;
                    copies[p][i] += m.recipient[p][i].fate == FATE_DONE;
                    assert_true(copies[p][i] <= 1);
                }
            struct reply r = outcome_end(m.part, m.parts, m.partial, T0, (struct outcome_client){0},
                                         &accepted, &before);
            assert_int_equal(accepted, of[2]);
            assert_int_equal(before, had);
            assert_int_equal(r.code < 300, of[2] == all);
            assert_int_equal(r.code >= 500, of[5] == all);
            for (size_t p = 0; p < m.parts; p++)
                for (uint32_t i = 0; i < m.job[p].recipients; i++) {
                    bool known = partial_was_delivered(
                        m.partial, SPAN("a@b.test"), name_of(p, i, room), partial_named(HASH), T0);
                    /* After 250 only what earlier tries have left. */
                    if (r.code >= 300)
                        assert_int_equal(known, has_it(&m, p, i));
                    else if (m.recipient[p][i].fate == FATE_DONE && m.parts > 1)
                        assert_false(known);
                }
            told = r.code < 300 || r.code >= 500;
            clear(&m);
        }
        end(&m);
    }
}

static void test_what_the_client_did_not_hear_is_remembered_of_a_message_with_a_name(void **state)
{
    for (int named = 0; named < 2; named++) {
        struct message m;
        uint32_t accepted;
        begin(&m);
        m.parts = 1;
        m.identity.named = named;
        m.job[0].sent = true;
        keep(&m.job[0].whole, 250);
        for (uint32_t i = 0; i < m.job[0].recipients; i++)
            m.recipient[0][i].fate = FATE_DONE;
        outcome_note(&m.job[0], m.partial, T0);
        struct outcome_part twice[2] = {m.part[0], m.part[0]};
        assert_int_equal(
            outcome_end(twice, 2, m.partial, T0, (struct outcome_client){0}, &accepted, &accepted)
                .code,
            250);
        outcome_unheard(twice, 2, m.partial, T0);
        assert_int_equal(
            partial_was_delivered(m.partial, SPAN("a@b.test"), SPAN("r0@d0.test"),
                                  (struct partial_message){.name = HASH, .named = named}, T0),
            named);
        m.parts = PARTS;
        end(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_reply_is_true_of_every_recipient_and_retries_settle_each_once),
        cmocka_unit_test(test_what_the_client_did_not_hear_is_remembered_of_a_message_with_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
