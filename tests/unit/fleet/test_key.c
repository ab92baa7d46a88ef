/* The fleet's key when Redis is emptied again and again: members look once a second, and some start in
 * between. All get the key that the fleet had, in whatever order they act. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/key.h"

#define START UINT64_C(1700000000000)

enum { MEMBERS = 6 };

static uint64_t seed;

static uint64_t dice(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* SET NX, GET, and SET if the own key wins: commands of two members may come between. */
static void look(struct sipkey *redis, struct sipkey *own, uint64_t now)
{
    struct sipkey proposed =
        key_is_known(own) ? *own : key_made((struct sipkey){dice(), dice()}, now);

    if (!key_is_known(redis))
        *redis = proposed;
    if (key_wins(own, redis))
        *redis = *own;
    *own = *redis;
}

static void test_the_key_of_those_that_are_there_stays(void **state)
{
    for (uint64_t n = 1; n <= 500; n++) {
        struct sipkey redis = {0}, member[MEMBERS] = {0}, first;
        uint64_t now = START;

        seed = n * 2654435761 + 88172645463325252;
        look(&redis, &member[0], now);
        first = redis;
        for (int i = 0; i < 40; i++) {
            now += 1000 + dice() % 5000;
            if (dice() % 4 == 0)
                redis = (struct sipkey){0};
            int which = 1 + (int)(dice() % (MEMBERS - 1));
            if (dice() % 4 == 0) /* starts, and knows no key */
                member[which] = (struct sipkey){0};
            look(&redis, &member[which], now);
        }
        for (int round = 0; round < 2; round++) /* two seconds later */
            for (int i = 0; i < MEMBERS; i++)
                look(&redis, &member[i], now);
        for (int i = 0; i < MEMBERS; i++)
            assert_true(member[i].k0 == first.k0 && member[i].k1 == first.k1);
    }
}

static void test_of_two_keys_exactly_one_wins(void **state)
{
    const struct sipkey none = {0}, a = {1, 9}, b = {1, 10}, c = {2, 0};

    assert_true(key_wins(&a, &b) && key_wins(&b, &c) && key_wins(&a, &c));
    assert_false(key_wins(&b, &a) || key_wins(&c, &b) || key_wins(&c, &a) || key_wins(&a, &a));
    assert_false(key_wins(&none, &a)); /* a member that has just started takes what is there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_key_of_those_that_are_there_stays),
        cmocka_unit_test(test_of_two_keys_exactly_one_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
