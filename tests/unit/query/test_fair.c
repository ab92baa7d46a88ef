/* The order of waiting queries (field notes 2, 26): fair by slot, rank, network, client; what a slot
 * and a client may have asked at once; who loses a place when too many wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "query/fair.h"

enum { ITEMS = 4096 };

struct named {
    struct fair_item item; /* first */
    uint32_t slot;
    char name[64];
};

static struct named all[ITEMS];
static size_t used;

static int setup(void **state)
{
    used = 0;
    return 0;
}

static struct addr addr_of(const char *text)
{
    struct addr a = {0};

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static struct fair_item *put_of(struct fair *f, uint32_t slot, const char *client,
                                enum query_rank rank)
{
    struct named *n = &all[used++];
    struct addr a = addr_of(client);

    assert_true(used <= ITEMS);
    snprintf(n->name, sizeof n->name, "%s", client);
    n->slot = slot;
    return fair_put(f, &n->item, slot, &a, rank);
}

static struct fair_item *put(struct fair *f, const char *client, enum query_rank rank)
{
    return put_of(f, 0, client, rank);
}

static const char *name_of(const struct fair_item *item)
{
    return item ? ((const struct named *)item)->name : "nobody";
}

/* Takes and ends queries until none waits; their clients with spaces between. */
static void assert_order(struct fair *f, const char *expected)
{
    char order[4096] = "";
    struct fair_item *item;

    while ((item = fair_take(f, NULL, NULL))) {
        snprintf(order + strlen(order), sizeof order - strlen(order), "%s%s", *order ? " " : "",
                 name_of(item));
        fair_done(f, item);
    }
    assert_string_equal(order, expected);
}

static const struct order {
    const char *about;
    struct {
        const char *client;
        enum query_rank rank;
        int times;
    } put[6];
    const char *order;
} orders[] = {
    {"a client's own queries keep their order",
     {{"192.0.2.1", RANK_USUAL, 2}},
     "192.0.2.1 192.0.2.1"},
    {"one query of a newcomer is second behind many of another",
     {{"192.0.2.1", RANK_USUAL, 4}, {"198.51.100.1", RANK_USUAL, 1}},
     "192.0.2.1 198.51.100.1 192.0.2.1 192.0.2.1 192.0.2.1"},
    {"networks take turns, not addresses: many of one network are one",
     {{"192.0.2.1", RANK_USUAL, 1},
      {"192.0.2.2", RANK_USUAL, 1},
      {"192.0.2.3", RANK_USUAL, 1},
      {"198.51.100.1", RANK_USUAL, 2}},
     "192.0.2.1 198.51.100.1 192.0.2.2 198.51.100.1 192.0.2.3"},
    {"within a network its clients take turns",
     {{"192.0.2.1", RANK_USUAL, 3}, {"192.0.2.2", RANK_USUAL, 1}},
     "192.0.2.1 192.0.2.2 192.0.2.1 192.0.2.1"},
    {"who is in debt goes last",
     {{"192.0.2.1", RANK_DEBT, 2}, {"198.51.100.1", RANK_USUAL, 1}},
     "198.51.100.1 192.0.2.1 192.0.2.1"},
    {"a mistake or two go behind none, and before those that are paced",
     {{"192.0.2.1", RANK_DEBT, 1}, {"198.51.100.1", RANK_SLIP, 2}, {"203.0.113.1", RANK_USUAL, 1}},
     "203.0.113.1 198.51.100.1 198.51.100.1 192.0.2.1"},
    {"who is logged in goes first",
     {{"192.0.2.1", RANK_DEBT, 1}, {"198.51.100.1", RANK_USUAL, 1}, {"203.0.113.1", RANK_FIRST, 1}},
     "203.0.113.1 198.51.100.1 192.0.2.1"},
    {"a client in debt does not hold up what it asked before",
     {{"192.0.2.1", RANK_DEBT, 1}, {"192.0.2.1", RANK_USUAL, 1}},
     "192.0.2.1 192.0.2.1"},
    {"an IPv6 client is its /64",
     {{"2001:db8:0:1::1", RANK_USUAL, 1},
      {"2001:db8:0:1::2", RANK_USUAL, 1},
      {"2001:db8:0:2::1", RANK_USUAL, 1}},
     "2001:db8:0:1::1 2001:db8:0:2::1 2001:db8:0:1::2"},
    {"an IPv6 network is its /48",
     {{"2001:db8:0:1::1", RANK_USUAL, 1},
      {"2001:db8:0:2::1", RANK_USUAL, 1},
      {"2001:db8:1::1", RANK_USUAL, 1}},
     "2001:db8:0:1::1 2001:db8:1::1 2001:db8:0:2::1"},
    {"nobody waits", {{0}}, ""},
};

static void test_questions_are_asked_in_a_fair_order(void **state)
{
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        const struct order *o = &orders[i];
        struct fair *f = fair_open(16, ITEMS, 1);
        for (size_t k = 0; k < 6 && o->put[k].client; k++)
            for (int n = 0; n < o->put[k].times; n++)
                assert_null(put(f, o->put[k].client, o->put[k].rank));
        print_message("%s\n", o->about);
        assert_order(f, o->order);
        assert_int_equal(fair_waiting(f), 0);
        fair_close(f);
    }
}

static uint32_t take_all(struct fair *f)
{
    uint32_t n = 0;

    while (fair_take(f, NULL, NULL))
        n++;
    return n;
}

static const struct part {
    const char *about;
    const char *client; /* with %d for a number, or not */
    enum query_rank rank;
    uint32_t asked; /* of 16, when very many wait */
} parts[] = {
    {"one client: half", "192.0.2.1", RANK_USUAL, 8},
    {"one client in debt: a quarter", "192.0.2.1", RANK_DEBT, 4},
    {"one client after a mistake: a quarter", "192.0.2.1", RANK_SLIP, 4},
    {"many networks after a mistake: half", "192.0.%d.1", RANK_SLIP, 8},
    {"one network: three quarters", "192.0.2.%d", RANK_USUAL, 12},
    {"one network in debt: half", "192.0.2.%d", RANK_DEBT, 8},
    {"many networks: all", "192.0.%d.1", RANK_USUAL, 16},
    {"many networks, all in debt: half", "192.0.%d.1", RANK_DEBT, 8},
    {"one client that is exempt: all", "192.0.2.1", RANK_FIRST, 16},
    {"one IPv6 client of many addresses: half", "2001:db8::%d", RANK_USUAL, 8},
    {"one IPv6 network: three quarters", "2001:db8:0:%d::1", RANK_USUAL, 12},
    {"one IPv6 network in debt: half", "2001:db8:0:%d::1", RANK_DEBT, 8},
};

static void test_nobody_has_more_than_a_part_of_what_is_asked_at_once(void **state)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const struct part *p = &parts[i];
        struct fair *f = fair_open(16, ITEMS, 1);
        used = 0;
        for (int n = 1; n <= 200; n++) {
            char client[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(client, sizeof client, p->client, n);
#pragma GCC diagnostic pop
            assert_null(put(f, client, p->rank));
        }
        print_message("%s\n", p->about);
        assert_int_equal(take_all(f), p->asked);
        /* There is room for somebody else, unless all of it may be taken. */
        assert_null(put(f, "203.0.113.9", RANK_USUAL));
        if (p->asked < 16)
            assert_string_equal(name_of(fair_take(f, NULL, NULL)), "203.0.113.9");
        else
            assert_null(fair_take(f, NULL, NULL));
        while (fair_any(f))
            ;
        fair_close(f);
    }
}

static void test_all_in_debt_together_have_half(void **state)
{
    struct fair *f = fair_open(16, ITEMS, 1);

    for (int n = 1; n <= 50; n++) {
        char client[64];
        snprintf(client, sizeof client, "192.0.%d.1", n);
        put(f, client, n % 2 ? RANK_SLIP : RANK_DEBT);
    }
    assert_int_equal(take_all(f), 8);
    while (fair_any(f))
        ;
    fair_close(f);
}

static void test_a_part_is_never_nothing(void **state)
{
    struct fair *f = fair_open(1, ITEMS, 1);

    put(f, "192.0.2.1", RANK_DEBT);
    assert_non_null(fair_take(f, NULL, NULL));
    fair_close(f);
}

static void test_the_longest_client_of_the_worst_rank_loses_its_newest(void **state)
{
    struct fair *f = fair_open(1, 6, 1);

    for (int i = 0; i < 3; i++)
        assert_null(put(f, "192.0.2.1", RANK_DEBT));
    assert_null(put(f, "198.51.100.1", RANK_DEBT));
    assert_null(put(f, "203.0.113.1", RANK_USUAL));
    assert_null(put(f, "203.0.113.1", RANK_USUAL));
    struct fair_item *newest = &all[2].item;
    assert_ptr_equal(put(f, "203.0.113.2", RANK_USUAL), newest);
    /* The flood's own next query finds no room. */
    struct fair_item *lost = put(f, "192.0.2.1", RANK_DEBT);
    assert_ptr_equal(lost, &all[used - 1].item);
    /* With nobody in debt left, the longest of the others. */
    for (int i = 0; i < 3; i++)
        assert_non_null(put(f, "203.0.113.1", RANK_USUAL));
    assert_null(fair_take(f, NULL, NULL)->link.next);
    fair_close(f);
}

/* Good mail's one query is asked soon, whatever one client, one network or many clients in debt
 * have piled up before it: within so many others. */
static void test_a_good_question_is_asked_soon_behind_any_flood(void **state)
{
    static const struct {
        const char *flood;
        enum query_rank rank;
        uint32_t before;
    } floods[] = {{"192.0.2.1", RANK_USUAL, 1},    {"192.0.2.%d", RANK_USUAL, 1},
                  {"192.0.2.%d", RANK_DEBT, 0},    {"192.0.%d.1", RANK_DEBT, 0},
                  {"192.0.%d.1", RANK_USUAL, 200}, {"2001:db8:0:%d::1", RANK_USUAL, 1}};

    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        struct fair *f = fair_open(16, ITEMS, 1);
        uint32_t before = 0;
        used = 0;
        for (int n = 0; n < 2600; n++) {
            char client[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(client, sizeof client, floods[i].flood, n % 200);
#pragma GCC diagnostic pop
            assert_null(put(f, client, floods[i].rank));
        }
        assert_null(put(f, "203.0.113.1", RANK_USUAL));
        for (struct fair_item *item;
             (item = fair_take(f, NULL, NULL)) && strcmp(name_of(item), "203.0.113.1") != 0;
             before++)
            fair_done(f, item);
        assert_true(before <= floods[i].before);
        fair_close(f);
    }
}

static bool may_not_be(const void *arg, const struct fair_item *item)
{
    return strcmp(name_of(item), arg) != 0;
}

/* While a directory takes no more, its queries stand aside, and those behind them keep their
 * order. */
static void test_what_may_not_be_asked_lets_the_others_go_first(void **state)
{
    struct fair *f = fair_open(16, ITEMS, 1);

    assert_null(put(f, "192.0.2.1", RANK_FIRST));
    assert_null(put(f, "192.0.2.2", RANK_FIRST));
    assert_null(put(f, "203.0.113.9", RANK_DEBT));
    assert_string_equal(name_of(fair_take(f, may_not_be, "192.0.2.1")), "192.0.2.2");
    assert_string_equal(name_of(fair_take(f, may_not_be, "192.0.2.1")), "203.0.113.9");
    assert_null(fair_take(f, may_not_be, "192.0.2.1"));
    assert_int_equal(fair_waiting(f), 1);
    assert_string_equal(name_of(fair_take(f, NULL, NULL)), "192.0.2.1");
    fair_close(f);
}

/* ---- slots ---- */

enum { SLOTS = 4 };

static uint32_t slot_of(const struct fair_item *item)
{
    return ((const struct named *)item)->slot;
}

/* As many queries of a slot, each of another network: the limits of clients and networks do not
 * matter. */
static void flood(struct fair *f, uint32_t slot, enum query_rank rank, int count)
{
    for (int n = 0; n < count; n++) {
        char client[64];
        snprintf(client, sizeof client, "10.%u.%d.1", slot, n % 250);
        put_of(f, slot, client, rank);
    }
}

/* Takes all that may be in flight; counts them by slot, and keeps them in `taken`. */
static uint32_t take_by_slot(struct fair *f, uint32_t count[SLOTS], struct fair_item **taken)
{
    struct fair_item *item;
    uint32_t n = 0;

    memset(count, 0, SLOTS * sizeof *count);
    while ((item = fair_take(f, NULL, NULL))) {
        taken[n++] = item;
        count[slot_of(item)]++;
    }
    return n;
}

static void test_a_slot_that_claims_the_best_rank_has_its_share_and_no_more(void **state)
{
    struct fair *f = fair_open(16, ITEMS, SLOTS);
    struct fair_item *taken[16];
    uint32_t count[SLOTS], served[SLOTS] = {0};

    flood(f, 0, RANK_FIRST, 2000);
    for (uint32_t s = 1; s < SLOTS; s++)
        flood(f, s, RANK_USUAL, 400);
    assert_int_equal(take_by_slot(f, count, taken), 16);
    for (uint32_t s = 0; s < SLOTS; s++)
        assert_int_equal(count[s], 4);
    /* and so it stays, whichever query ends next */
    srand(18);
    for (int n = 0; n < 1000; n++) {
        int i = rand() % 16;
        served[slot_of(taken[i])]++;
        fair_done(f, taken[i]);
        taken[i] = fair_take(f, NULL, NULL);
        assert_non_null(taken[i]);
    }
    assert_in_range(served[0], 200, 300);
    while (fair_any(f))
        ;
    fair_close(f);
}

static void test_what_is_idle_belongs_to_the_slot_that_waits(void **state)
{
    struct fair *f = fair_open(16, ITEMS, SLOTS);
    struct fair_item *taken[16], *good[2];
    uint32_t count[SLOTS];

    flood(f, 0, RANK_FIRST, 200);
    assert_int_equal(take_by_slot(f, count, taken), 16); /* all of it */
    put_of(f, 2, "203.0.113.1", RANK_DEBT);
    put_of(f, 3, "203.0.113.2", RANK_USUAL);
    assert_null(fair_take(f, NULL, NULL));
    /* The next two that end make room for the others. */
    for (int i = 0; i < 2; i++) {
        fair_done(f, taken[i]);
        good[i] = fair_take(f, NULL, NULL);
    }
    assert_string_equal(name_of(good[0]), "203.0.113.1"); /* slots take turns, whatever the rank */
    assert_string_equal(name_of(good[1]), "203.0.113.2");
    for (int i = 0; i < 2; i++)
        fair_done(f, good[i]);
    /* With nobody else left, the first slot has all of it again. */
    assert_int_equal(take_by_slot(f, count, taken), 2);
    assert_int_equal(count[0], 2);
    while (fair_any(f))
        ;
    fair_close(f);
}

/* With three slots, 5 + 5 + 5 of 16; the rest goes to the slots with the fewest. */
static void test_the_rest_of_a_division_is_used(void **state)
{
    struct fair *f = fair_open(16, ITEMS, SLOTS);
    struct fair_item *taken[16];
    uint32_t count[SLOTS];

    flood(f, 1, RANK_USUAL, 100);
    flood(f, 2, RANK_FIRST, 100);
    put_of(f, 3, "203.0.113.1", RANK_DEBT);
    put_of(f, 3, "203.0.113.2", RANK_DEBT);
    assert_int_equal(take_by_slot(f, count, taken), 16);
    assert_int_equal(count[1], 7);
    assert_int_equal(count[2], 7);
    assert_int_equal(count[3], 2);
    while (fair_any(f))
        ;
    fair_close(f);
}

/* A slot says that its queries are those of a client of another slot. */
static void test_what_one_slot_says_of_a_client_counts_in_no_other(void **state)
{
    static const enum query_rank ranks[] = {RANK_USUAL, RANK_SLIP, RANK_DEBT};

    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        struct fair *f = fair_open(16, ITEMS, SLOTS);
        struct fair_item *taken[16];
        uint32_t count[SLOTS];
        used = 0;
        for (int n = 0; n < 500; n++)
            put_of(f, 0, "203.0.113.1", ranks[i]);
        uint32_t alone = take_by_slot(f, count, taken);
        assert_true(alone < 16);
        put_of(f, 1, "203.0.113.1", ranks[i]);
        put_of(f, 2, "203.0.113.7", RANK_USUAL);
        uint32_t more = take_by_slot(f, count, taken + alone);
        assert_int_equal(more, 2);
        assert_int_equal(count[1] + count[2], 2);
        while (fair_any(f))
            ;
        fair_close(f);
    }
}

/* All in debt together have half; a slot cannot keep the others' from it. */
static void test_a_slot_with_many_in_debt_shares_their_half(void **state)
{
    struct fair *f = fair_open(16, ITEMS, SLOTS);
    struct fair_item *taken[16];
    uint32_t count[SLOTS];

    flood(f, 0, RANK_DEBT, 500);
    assert_int_equal(take_by_slot(f, count, taken), 8);
    for (int i = 0; i < 4; i++)
        put_of(f, 1, i % 2 ? "203.0.113.1" : "203.0.114.1", RANK_DEBT);
    for (int i = 0; i < 4; i++) {
        fair_done(f, taken[i]);
        taken[i] = fair_take(f, NULL, NULL);
        assert_int_equal(slot_of(taken[i]), 1);
        assert_null(fair_take(f, NULL, NULL));
    }
    while (fair_any(f))
        ;
    fair_close(f);
}

/* The places of those that wait are shared too. */
static void test_a_slot_that_fills_the_places_loses_its_own(void **state)
{
    enum { PLACES = 64 };
    struct fair *f = fair_open(16, PLACES, SLOTS);
    struct fair_item *lost;

    flood(f, 0, RANK_FIRST, PLACES);
    assert_int_equal(fair_waiting(f), PLACES);
    for (int n = 0; n < PLACES / 2; n++) {
        lost = put_of(f, 1 + n % 2, "203.0.113.1", n % 2 ? RANK_DEBT : RANK_USUAL);
        assert_int_equal(slot_of(lost), 0);
    }
    /* Within its own places a slot gives up the worst rank first. */
    lost = put_of(f, 0, "203.0.113.1", RANK_DEBT);
    assert_ptr_equal(lost, &all[used - 1].item);
    while (fair_any(f))
        ;
    fair_close(f);
}

/* More slots than places. */
static void test_many_slots_and_few_places(void **state)
{
    struct fair *f = fair_open(2, 3, 8);

    for (uint32_t s = 0; s < 3; s++)
        assert_null(put_of(f, s, "203.0.113.1", RANK_USUAL));
    assert_non_null(put_of(f, 3, "203.0.113.1", RANK_USUAL));
    assert_null(fair_take(f, NULL, NULL)->link.next);
    assert_non_null(fair_take(f, NULL, NULL));
    assert_null(fair_take(f, NULL, NULL));
    /* a slot beyond the last is the last */
    assert_null(put_of(f, 100, "203.0.113.1", RANK_USUAL));
    while (fair_any(f))
        ;
    fair_close(f);
}

static void test_with_one_lookup_slots_take_turns(void **state)
{
    struct fair *f = fair_open(1, ITEMS, SLOTS);

    flood(f, 0, RANK_FIRST, 100);
    flood(f, 2, RANK_DEBT, 10);
    for (uint32_t n = 0; n < 20; n++) {
        struct fair_item *item = fair_take(f, NULL, NULL);
        assert_int_equal(slot_of(item), n % 2 * 2);
        fair_done(f, item);
    }
    while (fair_any(f))
        ;
    fair_close(f);
}

/* In random histories of queries that no other limit stops, the slot with the fewest in flight comes
 * first, and nothing is idle while a query waits. */
static void test_the_fewest_come_first_in_random_histories(void **state)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        enum { MOST = 11, STEPS = 600 };
        struct fair *f = fair_open(MOST, ITEMS, SLOTS);
        struct fair_item *flying[MOST];
        uint32_t waiting[SLOTS] = {0}, asked[SLOTS] = {0}, n = 0;
        srand(seed);
        used = 0;
        for (int step = 0; step < STEPS; step++) {
            uint32_t s = (uint32_t)rand() % SLOTS;
            if (rand() % 3 == 0) {
                flood(f, s, RANK_FIRST, 3);
                waiting[s] += 3;
            }
            if (n && rand() % 2) {
                uint32_t i = (uint32_t)rand() % n;
                asked[slot_of(flying[i])]--;
                fair_done(f, flying[i]);
                flying[i] = flying[--n];
            }
            struct fair_item *item = fair_take(f, NULL, NULL);
            bool waits = fair_waiting(f) + (item != NULL) > 0;
            assert_true(item || !waits || n == MOST);
            if (!item)
                continue;
            uint32_t of = slot_of(item);
            for (uint32_t k = 0; k < SLOTS; k++)
                assert_true(!waiting[k] || asked[of] <= asked[k]);
            waiting[of]--;
            asked[of]++;
            flying[n++] = item;
        }
        while (fair_any(f))
            ;
        fair_close(f);
    }
}

/* How many of the waiting items may be in flight now; they stay so. */
static int count_all(struct fair *f)
{
    int n = 0;

    while (fair_take(f, NULL, NULL))
        n++;
    return n;
}

static void test_a_network_with_queries_in_all_slots_leaves_others_room(void **state)
{
    static const struct {
        uint32_t asked, slots;
        enum query_rank rank;
        int most;
    } cases[] = {
        {20, 33, RANK_USUAL, 15}, /* three quarters; without the limit all */
        {20, 16, RANK_USUAL, 15}, {20, 12, RANK_USUAL, 12}, /* one in each slot is less */
        {11, 200, RANK_USUAL, 8}, {20, 33, RANK_SLIP, 10},  {20, 33, RANK_DEBT, 10},
        {20, 33, RANK_FIRST, 20}, {2, 9, RANK_USUAL, 2},    {1, 9, RANK_USUAL, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fair *f = fair_open(cases[i].asked, 3000, cases[i].slots);
        used = 0;
        for (uint32_t slot = 0; slot < cases[i].slots; slot++)
            for (int host = 1; host < 4; host++) {
                char name[64];
                snprintf(name, sizeof name, "192.0.2.%u", (slot * 3 + (uint32_t)host) % 250 + 1);
                assert_null(put_of(f, slot, name, cases[i].rank));
            }
        assert_int_equal(count_all(f), cases[i].most);
        if (cases[i].most < (int)cases[i].asked) {
            put_of(f, 5, "198.51.100.1", RANK_USUAL); /* a newcomer waits for none of them */
            assert_string_equal(name_of(fair_take(f, NULL, NULL)), "198.51.100.1");
        }
        fair_close(f);
    }
}

static void test_a_slot_that_claims_queries_of_a_network_leaves_it_some(void **state)
{
    for (uint32_t asked = 2; asked < 40; asked++)
        for (int rank = RANK_USUAL; rank < RANKS; rank++) {
            struct fair *f = fair_open(asked, 3000, 6);
            used = 0;
            put_of(f, 3, "198.51.100.9", RANK_USUAL); /* so that the shares are those of several */
            for (int i = 1; i < 100; i++) {
                char name[64];
                snprintf(name, sizeof name, "192.0.2.%d", i);
                put_of(f, 0, name, (enum query_rank)rank);
            }
            struct fair_item *first = fair_take(f, NULL, NULL), *one;
            put_of(f, 2, "192.0.2.200", (enum query_rank)rank); /* the network's own */
            bool its_own = false;
            for (one = first; one && !its_own; one = fair_take(f, NULL, NULL))
                its_own = ((const struct named *)one)->slot == 2;
            if (!its_own && !(rank >= RANK_SLIP && asked < 4)) /* then debts have one in all */
                fail_msg("%u, rank %d", asked, rank);
            fair_close(f);
        }
}

static void test_the_count_of_a_network_goes_down_again(void **state)
{
    enum { ROUNDS = 50, TEN = 10 };
    struct fair *f = fair_open(8, 3000, TEN);
    for (int round = 0; round < ROUNDS; round++) {
        struct fair_item *flying[8];
        int n = 0;
        used = 0;
        for (uint32_t slot = 0; slot < TEN; slot++)
            put_of(f, slot, "192.0.2.7", RANK_USUAL);
        while ((flying[n] = fair_take(f, NULL, NULL)))
            n++;
        assert_int_equal(n, 6);
        while (n)
            fair_done(f, flying[--n]);
        while (fair_any(f))
            ;
    }
    assert_int_equal(fair_asked(f) + fair_waiting(f), 0);
    fair_close(f);
}

/* ---- the first of a few ---- */

struct chance {
    struct fair_item *item[600]; /* that wait; then those that are in flight */
    size_t waiting, taken;
    bool allowed[600]; /* of `all` */
};

static size_t index_of(const struct fair_item *item)
{
    return (size_t)((const struct named *)item - all);
}

static bool is_allowed(const void *arg, const struct fair_item *item)
{
    return ((const struct chance *)arg)->allowed[index_of(item)];
}

static struct fair_item *first_of_allowed(const struct fair *f, const struct chance *c)
{
    struct fair_item *best = NULL;

    for (size_t i = 0; i < c->waiting; i++) {
        struct fair_item *item = c->item[i];
        if (is_allowed(c, item) && fair_allows(f, item) && (!best || fair_is_before(f, item, best)))
            best = item;
    }
    return best;
}

static void remove_at(struct fair_item **list, size_t *count, size_t i)
{
    list[i] = list[--*count];
}

static void put_any(struct fair *f, struct chance *c)
{
    char client[64];

    snprintf(client, sizeof client, "10.0.%d.%d", rand() % 4, rand() % 3);
    c->allowed[used] = rand() % 3;
    c->item[c->waiting++] = &all[used].item;
    assert_null(put_of(f, (uint32_t)rand() % SLOTS, client, (enum query_rank)(rand() % RANKS)));
}

/* Whatever was put, taken, ended and given up before. */
static void test_the_first_of_a_few_is_the_first_in_the_order_of_all(void **state)
{
    uint32_t found = 0, none = 0;

    srand(26);
    for (int round = 0; round < 200; round++) {
        struct fair *f = fair_open(1 + (uint32_t)rand() % 20, ITEMS, SLOTS);
        struct fair_item *taken[600];
        struct chance c = {.waiting = 0};
        used = 0;
        while (used < 600) {
            int what = rand() % 8;
            if (what < 4) {
                put_any(f, &c);
            } else if (what == 4 && c.taken) {
                size_t i = (size_t)rand() % c.taken;
                fair_done(f, taken[i]);
                remove_at(taken, &c.taken, i);
            } else if (what == 5 && c.waiting) {
                size_t i = (size_t)rand() % c.waiting;
                fair_drop(f, c.item[i]);
                remove_at(c.item, &c.waiting, i);
            } else {
                struct fair_item *expected = first_of_allowed(f, &c);
                struct fair_item *item = fair_take(f, is_allowed, &c);
                assert_ptr_equal(item, expected);
                item ? found++ : none++;
                for (size_t i = 0; item && i < c.waiting; i++)
                    if (c.item[i] == item)
                        remove_at(c.item, &c.waiting, i);
                if (item)
                    taken[c.taken++] = item;
            }
        }
        while (fair_any(f))
            ;
        fair_close(f);
    }
    assert_true(found > 10000 && none > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_questions_are_asked_in_a_fair_order, setup),
        cmocka_unit_test_setup(test_nobody_has_more_than_a_part_of_what_is_asked_at_once, setup),
        cmocka_unit_test_setup(test_all_in_debt_together_have_half, setup),
        cmocka_unit_test_setup(test_a_part_is_never_nothing, setup),
        cmocka_unit_test_setup(test_the_longest_client_of_the_worst_rank_loses_its_newest, setup),
        cmocka_unit_test_setup(test_what_may_not_be_asked_lets_the_others_go_first, setup),
        cmocka_unit_test_setup(test_a_good_question_is_asked_soon_behind_any_flood, setup),
        cmocka_unit_test_setup(test_a_slot_that_claims_the_best_rank_has_its_share_and_no_more,
                               setup),
        cmocka_unit_test_setup(test_what_is_idle_belongs_to_the_slot_that_waits, setup),
        cmocka_unit_test_setup(test_the_rest_of_a_division_is_used, setup),
        cmocka_unit_test_setup(test_what_one_slot_says_of_a_client_counts_in_no_other, setup),
        cmocka_unit_test_setup(test_a_slot_with_many_in_debt_shares_their_half, setup),
        cmocka_unit_test_setup(test_a_slot_that_fills_the_places_loses_its_own, setup),
        cmocka_unit_test_setup(test_many_slots_and_few_places, setup),
        cmocka_unit_test_setup(test_with_one_lookup_slots_take_turns, setup),
        cmocka_unit_test_setup(test_the_fewest_come_first_in_random_histories, setup),
        cmocka_unit_test_setup(test_a_network_with_queries_in_all_slots_leaves_others_room, setup),
        cmocka_unit_test_setup(test_a_slot_that_claims_queries_of_a_network_leaves_it_some, setup),
        cmocka_unit_test_setup(test_the_count_of_a_network_goes_down_again, setup),
        cmocka_unit_test_setup(test_the_first_of_a_few_is_the_first_in_the_order_of_all, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
