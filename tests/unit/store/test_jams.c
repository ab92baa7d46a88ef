/* Mailboxes that hang: they refuse at once, and those beside them only as far as they may hang, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "store/jams.h"

enum { MOST = 40 };

static uint64_t now = 1000000;

static struct box_path path_of(const char *domain, int n)
{
    struct box_path box;
    snprintf(box.text, sizeof box.text, "%s/u%d", domain, n);
    return box;
}

static bool enter(struct jam *j, const char *domain, int n)
{
    struct box_path box = path_of(domain, n);
    return jam_enter(j, &box, false, now);
}

static bool is_doubtful(const char *domain, int n)
{
    struct box_path box = path_of(domain, n);
    return jam_is_doubtful(&box, now);
}

static void leave(struct jam *j, bool stored)
{
    jam_leave(j, stored, now);
}

/* Whether a message can be stored there now. */
static bool takes_mail(const char *domain, int n)
{
    struct jam j;
    if (!enter(&j, domain, n))
        return false;
    leave(&j, true);
    return true;
}

/* Mailboxes 0 to count-1 of a domain begin to hang. */
static void hang(struct jam *j, const char *domain, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(enter(&j[i], domain, i));
    now += JAM_MS;
}

static void come_back(struct jam *j, int count)
{
    for (int i = 0; i < count; i++)
        leave(&j[i], false);
    now++;
}

static void test_many_messages_at_a_time_are_no_jam(void **state)
{
    struct jam j[MOST];
    for (int i = 0; i < MOST; i++)
        assert_true(enter(&j[i], "busy.test", 0));
    now += JAM_CROWD_MS - 1;
    assert_true(takes_mail("busy.test", 0));
    now++; /* so many, for so long, are */
    assert_false(takes_mail("busy.test", 0));
    for (int i = 0; i < MOST; i++)
        leave(&j[i], true);
    assert_true(takes_mail("busy.test", 0));
}

static void test_a_mailbox_that_hangs_refuses_and_no_other(void **state)
{
    struct jam j;
    assert_true(takes_mail("one.test", 0));
    assert_true(enter(&j, "one.test", 0));
    now += JAM_MS - 1;
    assert_true(takes_mail("one.test", 0));
    now++;
    assert_false(takes_mail("one.test", 0));
    assert_true(is_doubtful("one.test", 0));
    for (int i = 1; i < MOST; i++) {
        assert_true(takes_mail("one.test", i));
        assert_false(is_doubtful("one.test", i));
    }
    come_back(&j, 1);
}

static void test_after_that_it_gets_one_try_at_a_time_until_it_is_well(void **state)
{
    struct jam j, other;
    hang(&j, "try.test", 1);
    come_back(&j, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(enter(&j, "try.test", 0));
        assert_false(enter(&other, "try.test", 0));
        assert_true(is_doubtful("try.test", 0));
        leave(&j, false);
        now++;
    }
    assert_true(takes_mail("try.test", 0));
    assert_false(is_doubtful("try.test", 0));
    assert_true(enter(&j, "try.test", 0));
    assert_true(takes_mail("try.test", 0));
    leave(&j, true);
}

static void test_a_domain_in_which_several_hang_gets_few_tries(void **state)
{
    struct jam j[MOST], trial[JAM_DOMAIN_TRIES], other;
    for (int i = 0; i < MOST; i++)
        assert_true(takes_mail("many.test", i));
    now++;
    hang(j, "many.test", JAM_DOMAIN);
    for (int i = 0; i < JAM_DOMAIN_TRIES; i++)
        assert_true(enter(&trial[i], "many.test", JAM_DOMAIN + i));
    assert_false(enter(&other, "many.test", 20));
    assert_true(takes_mail("elsewhere.test", 20));
    now++;
    leave(&trial[0], true); /* it is well, and stays so */
    now++;
    assert_true(enter(&other, "many.test", JAM_DOMAIN));
    assert_true(takes_mail("many.test", 20)); /* the next one */
    leave(&other, true);
    leave(&trial[1], true);
    come_back(j, JAM_DOMAIN);
    assert_true(takes_mail("many.test", 21)); /* the domain is well with it */
    assert_true(enter(&trial[0], "many.test", 22) && enter(&trial[1], "many.test", 23) &&
                enter(&other, "many.test", 24));
    leave(&trial[0], true);
    leave(&trial[1], true);
    leave(&other, true);
}

/* Each mailbox of a dead domain costs a try; the threads that they take are few. */
static void test_a_domain_that_hangs_takes_no_thread_after_some(void **state)
{
    struct jam j[200];
    unsigned in = 0;
    for (int i = 0; i < 200; i++) {
        in += enter(&j[in], "dead.test", i);
        now += JAM_MS / JAM_DOMAIN_TRIES;
    }
    assert_int_equal(in, JAM_DOMAIN_MOST);
    for (int i = 0; i < MOST; i++)
        assert_true(takes_mail("alive.test", i));
    come_back(j, (int)in);
    for (int i = 100; i < 140; i++)
        assert_true(takes_mail("dead.test", i));
}

static void test_if_many_domains_hang_the_others_get_some_tries(void **state)
{
    struct jam j[JAM_ALL], trial[JAM_ALL_TRIES], other;
    char domain[20];
    for (int i = 0; i < JAM_ALL; i++) {
        snprintf(domain, sizeof domain, "d%d.test", i);
        assert_true(enter(&j[i], domain, 0));
    }
    now += JAM_MS;
    for (int i = 0; i < JAM_ALL_TRIES; i++)
        assert_true(enter(&trial[i], "rest.test", i));
    assert_false(enter(&other, "rest.test", 20));
    now++;
    leave(&trial[0], true);
    now++;
    assert_true(takes_mail("rest.test", 0));
    assert_true(takes_mail("rest.test", 20));
    for (int i = 1; i < JAM_ALL_TRIES; i++)
        leave(&trial[i], true);
    come_back(j, JAM_ALL);
    assert_true(takes_mail("rest.test", 0));
    for (int i = 0; i < JAM_ALL_TRIES; i++)
        assert_true(enter(&trial[i], "rest.test", 30 + i));
    assert_true(takes_mail("rest.test", 20));
    for (int i = 0; i < JAM_ALL_TRIES; i++)
        leave(&trial[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_messages_at_a_time_are_no_jam),
        cmocka_unit_test(test_a_mailbox_that_hangs_refuses_and_no_other),
        cmocka_unit_test(test_after_that_it_gets_one_try_at_a_time_until_it_is_well),
        cmocka_unit_test(test_a_domain_in_which_several_hang_gets_few_tries),
        cmocka_unit_test(test_a_domain_that_hangs_takes_no_thread_after_some),
        cmocka_unit_test(test_if_many_domains_hang_the_others_get_some_tries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
