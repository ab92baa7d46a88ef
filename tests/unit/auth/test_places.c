/* Places for logins that wait, shared by worker slots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/places.h"

enum { LOGINS = 4000 };

static struct place login[LOGINS];

/* Logins from..until-1 of a slot, numbered from 1 on. */
static void begin(struct places *p, uint32_t slot, int from, int until)
{
    for (int i = from; i < until; i++)
        (void)places_take(p, &login[i], slot, (uint32_t)i + 1);
}

/* How many of the logins from..until-1 have their places. */
static int left(const struct places *p, int from, int until)
{
    int n = 0;

    for (int i = from; i < until; i++)
        n += places_find(p, (uint32_t)i + 1) == &login[i];
    return n;
}

static void test_a_slot_that_is_alone_has_all_places_and_loses_its_oldest(void **state)
{
    struct places *p = places_open(70, 5);
    begin(p, 3, 0, 70);
    assert_int_equal(left(p, 0, 70), 70);
    assert_ptr_equal(places_take(p, &login[70], 3, 71), &login[0]);
    assert_ptr_equal(places_take(p, &login[71], 3, 72), &login[1]);
    assert_int_equal(left(p, 2, 72), 70);
    places_close(p);
}

static void test_a_slot_that_floods_takes_no_place_of_another_one(void **state)
{
    struct places *p = places_open(70, 3);
    begin(p, 0, 0, 20);
    begin(p, 2, 100, 111);
    begin(p, 1, 1000, 4000);
    assert_int_equal(left(p, 0, 20), 20);
    assert_int_equal(left(p, 100, 111), 11);
    assert_int_equal(left(p, 3961, 4000), 39); /* its own newest ones have the others */
    assert_int_equal(left(p, 1000, 3961), 0);
    places_close(p);
}

static void test_a_slot_gets_its_share_back_from_one_that_floods(void **state)
{
    struct places *p = places_open(60, 3);
    begin(p, 1, 1000, 4000);
    for (int i = 0; i < 30; i++) {
        struct place *lost = places_take(p, &login[i], 0, (uint32_t)i + 1);
        assert_non_null(lost);
        assert_int_equal(lost->slot, 1); /* up to one half: two slots have logins */
    }
    assert_int_equal(places_take(p, &login[30], 0, 31)->slot, 0);
    begin(p, 1, 1000, 3900);
    assert_int_equal(left(p, 1, 31), 30);
    places_close(p);
}

static void test_floods_of_all_slots_but_one_leave_it_its_share(void **state)
{
    enum { PLACES = 96, SLOTS = 8 };
    struct places *p = places_open(PLACES, SLOTS);
    begin(p, 5, 0, PLACES / SLOTS);
    for (int i = 0; i < 3500; i++)
        begin(p, (uint32_t[]){0, 1, 2, 3, 4, 6, 7}[i % 7], 400 + i, 401 + i);
    assert_int_equal(left(p, 0, PLACES / SLOTS), PLACES / SLOTS);
    assert_int_equal(left(p, 0, LOGINS), PLACES);
    places_close(p);
}

static void test_a_login_that_leaves_makes_room(void **state)
{
    struct places *p = places_open(4, 2);
    begin(p, 0, 0, 4);
    places_leave(p, &login[2]);
    assert_null(places_find(p, 3));
    assert_null(places_take(p, &login[9], 1, 10));
    places_leave(p, &login[0]);
    assert_int_equal(left(p, 0, 10), 3);
    for (int i = 0; i < 3; i++)
        places_leave(p, places_first(p));
    assert_null(places_first(p));
    places_close(p);
}

static void test_numbers_of_one_bucket_do_not_meet(void **state)
{
    struct places *p = places_open(10, 2);
    for (uint32_t i = 0; i < 10; i++)
        assert_null(places_take(p, &login[i], i % 2, 7 + 1024 * i));
    for (uint32_t i = 0; i < 10; i += 3)
        places_leave(p, &login[i]);
    for (uint32_t i = 0; i < 10; i++)
        assert_ptr_equal(places_find(p, 7 + 1024 * i), i % 3 ? &login[i] : NULL);
    assert_null(places_find(p, 7 + 1024 * 10));
    places_close(p);
}

static void test_with_fewer_places_than_slots_the_last_one_to_come_has_none(void **state)
{
    struct places *p = places_open(2, 3);
    begin(p, 0, 0, 1);
    begin(p, 1, 1, 2);
    assert_ptr_equal(places_take(p, &login[2], 2, 3), &login[2]);
    assert_int_equal(left(p, 0, 3), 2);
    assert_ptr_equal(places_take(p, &login[3], 77, 4), &login[3]); /* 77: the last slot */
    places_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_slot_that_is_alone_has_all_places_and_loses_its_oldest),
        cmocka_unit_test(test_a_slot_that_floods_takes_no_place_of_another_one),
        cmocka_unit_test(test_a_slot_gets_its_share_back_from_one_that_floods),
        cmocka_unit_test(test_floods_of_all_slots_but_one_leave_it_its_share),
        cmocka_unit_test(test_a_login_that_leaves_makes_room),
        cmocka_unit_test(test_numbers_of_one_bucket_do_not_meet),
        cmocka_unit_test(test_with_fewer_places_than_slots_the_last_one_to_come_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
