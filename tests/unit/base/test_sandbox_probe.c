/* sandbox_probe(): Landlock under a filter of system calls that somebody else has set (systemd). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox.h"

enum { LANDLOCK = SANDBOX_LANDLOCK_FILES | SANDBOX_LANDLOCK_TCP | SANDBOX_LANDLOCK_SIGNALS };
enum { LANDLOCK_CREATE_RULESET = 444 };

/* From now on this call ends the process. */
static void forbid(unsigned call)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        _exit(99);
}

/* Runs it in a process of its own, because a filter stays; returns how that ended. */
static int status_of(void (*run)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        run();
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void confine_or_exit(bool expected)
{
    struct sandbox s;

    if (sandbox_probe() != expected)
        _exit(1);
    if (((sandbox_available() & LANDLOCK) != 0) != expected)
        _exit(2);
    sandbox_begin(&s, SANDBOX_FILES, false);
    sandbox_path(&s, "/", SANDBOX_READ);
    unsigned in_force = sandbox_enter(&s);
    if (((in_force & LANDLOCK) != 0) != expected)
        _exit(3);
    if (!(in_force & SANDBOX_SECCOMP))
        _exit(4);
    const char *lack = sandbox_lack(SANDBOX_SECCOMP, &(unsigned){0}, &(bool){false});
    if ((strstr(lack, "forbids Landlock") != NULL) == expected)
        _exit(5);
}

static void under_a_filter_that_forbids_it(void)
{
    forbid(LANDLOCK_CREATE_RULESET);
    confine_or_exit(false);
}

static void under_another_filter(void)
{
    forbid(SYS_reboot);
    confine_or_exit(true);
}

static void without_a_filter(void)
{
    confine_or_exit(true);
}

/* The filter of systemd 252's @system-service lacks seccomp(2), too. */
static void without_seccomp_by_its_name(void)
{
    forbid(SYS_seccomp);
    confine_or_exit(true);
}

static void without_a_probe(void)
{
    struct sandbox s;

    forbid(LANDLOCK_CREATE_RULESET);
    sandbox_begin(&s, SANDBOX_FILES, false);
}

static void test_landlock_that_a_filter_forbids_is_left_out(void **state)
{
    assert_int_equal(status_of(under_a_filter_that_forbids_it), 0);
    assert_true(WIFSIGNALED(status_of(without_a_probe)));
}

static void test_a_filter_that_allows_landlock_changes_nothing(void **state)
{
    assert_int_equal(status_of(without_a_filter), 0);
    assert_int_equal(status_of(under_another_filter), 0);
    assert_int_equal(status_of(without_seccomp_by_its_name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_landlock_that_a_filter_forbids_is_left_out),
        cmocka_unit_test(test_a_filter_that_allows_landlock_changes_nothing),
    };
    const unsigned all = SANDBOX_SECCOMP | SANDBOX_LANDLOCK_FILES;

    if ((sandbox_available() & all) != all)
        return 77; /* a sanitizer, or a kernel that lacks it: meson counts it as skipped */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
