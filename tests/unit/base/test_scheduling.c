/* scheduling.c: children inherit the policy, and what an administrator chose stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scheduling.h"

static void test_a_process_has_time_and_then_none(void **state)
{
    sched_background();
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    sched_normal();
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static int as_nobody(void)
{
    if (sched_getscheduler(0) != SCHED_BATCH) /* a child inherits it */
        return 1;
    if (geteuid() == 0 && setuid(65534) < 0)
        return 2;
    sched_normal();
    return sched_getscheduler(0) == SCHED_OTHER ? 0 : 3;
}

static void test_a_child_may_take_it_back_without_any_privilege(void **state)
{
    int status;

    sched_background();
    pid_t pid = fork();
    if (pid == 0)
        _exit(as_nobody());
    sched_normal();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int who_is_to_be_idle(void)
{
    if (sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}) < 0)
        return 1;
    sched_background();
    sched_normal();
    return sched_getscheduler(0) == SCHED_IDLE ? 0 : 2;
}

static void test_an_administrators_choice_stays(void **state)
{
    int status;
    pid_t pid = fork(); /* nobody may leave that policy as easily as one enters it */

    if (pid == 0)
        _exit(who_is_to_be_idle());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool may_choose(void)
{
    struct sched_param none = {0};

    return sched_setscheduler(0, SCHED_BATCH, &none) == 0 &&
           sched_setscheduler(0, SCHED_OTHER, &none) == 0;
}

int main(void)
{
    if (!may_choose()) /* a sandbox in which all stays as it is */
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_process_has_time_and_then_none),
        cmocka_unit_test(test_a_child_may_take_it_back_without_any_privilege),
        cmocka_unit_test(test_an_administrators_choice_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
