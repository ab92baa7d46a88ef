/* folder.c: nothing is made, given away or changed for root in a folder that the service's user can
 * write, whatever that user puts there and when. Field notes 27. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "master/folder.h"

enum { NOBODY = 65534, ROOT = 0 };

static const struct identity nobody = {
    .drop = true, .uid = NOBODY, .gid = NOBODY, .name = "nobody"};
static char base[64];

static const char *at(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *out = path[turn++ % 4];

    snprintf(out, sizeof path[0], "%s/%s", base, name);
    return out;
}

static void make(const char *name, mode_t mode, uid_t owner)
{
    assert_int_equal(mkdir(at(name), mode), 0);
    assert_int_equal(chmod(at(name), mode), 0);
    assert_int_equal(chown(at(name), owner, owner), 0);
}

static void make_link(const char *target, const char *name, uid_t owner)
{
    assert_int_equal(symlink(target, at(name)), 0);
    assert_int_equal(lchown(at(name), owner, owner), 0);
}

/* roots/ is what must not change; users/ is where the user can do anything. */
static int make_base(void **state)
{
    if (geteuid() != 0)
        return 0;
    snprintf(base, sizeof base, "/tmp/mired-folder-XXXXXX");
    assert_non_null(mkdtemp(base));
    assert_int_equal(chmod(base, 0755), 0);
    make("roots", 0755, ROOT);
    make("users", 0755, NOBODY);
    make("sticky", 01777, ROOT);
    make("open", 0777, ROOT);
    make("group", 0775, ROOT);
    return 0;
}

static int remove_base(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", base);
    return geteuid() == 0 ? system(command) : 0;
}

static void expect_untouched(void)
{
    struct stat st;

    assert_int_equal(stat(at("roots"), &st), 0);
    assert_int_equal(st.st_uid, ROOT);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(st.st_nlink, 2); /* no folder in it */
}

static void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* Where the user stands in the way, root is not led into a folder of root's. */
static void test_the_user_leads_root_nowhere(void **state)
{
    static const struct {
        const char *target, *link; /* the user's */
        const char *path;
        int error;
    } row[] = {
        {"../roots", "users/up", "users/up/a", -EACCES},
        {"../roots/new", "users/dangling", "users/dangling", -EACCES},
        {"../roots", "users/itself", "users/itself", 0},
        {"again", "users/again", "users/again", -ELOOP},
        {"../roots", "sticky/link", "sticky/link/b", -EACCES},
        {"../roots/new", "sticky/dangling", "sticky/dangling", -EACCES},
        {"../roots", "open/link", "open/link/c", -EACCES},
        {"../roots", "group/link", "group/link/d", -EACCES},
        {"link/../../roots", "users/dots", "users/dots/e", -EACCES},
        {"up/.", "users/two", "users/two/f", -EACCES},
        {"/dev/null", "users/file", "users/file", -ENOTDIR},
        {"/dev/null", "users/below", "users/below/g", -ENOTDIR},
    };
    struct borrowed b;

    needs_root();
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        make_link(row[i].target, row[i].link, NOBODY);
        assert_int_equal(folder_enter(&b, at(row[i].path), &nobody, 0750), row[i].error);
        assert_int_equal(geteuid(), NOBODY);
        folder_leave(&b);
        assert_int_equal(geteuid(), ROOT);
        expect_untouched();
    }
}

/* ... and what is asked for is made where it may be, by who may make it. */
static void test_folders_are_made_for_the_user(void **state)
{
    static const struct {
        const char *path;
        uid_t acts; /* who names files in it */
    } row[] = {
        {"state", NOBODY},       {"new/parents/state", NOBODY}, {"users/state", NOBODY},
        {"users/a/b/c", NOBODY}, {"sticky/state", NOBODY},      {"open/state", NOBODY},
        {"link/state", NOBODY},  {"link/new/state", NOBODY},    {"roots/..//./dots/", NOBODY},
    };
    struct borrowed b;
    struct stat st;

    needs_root();
    make_link("users/", "link", ROOT);
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        for (int again = 0; again < 2; again++) {
            assert_int_equal(folder_enter(&b, at(row[i].path), &nobody, 0750), 0);
            assert_int_equal(geteuid(), row[i].acts);
            folder_leave(&b);
        }
        assert_int_equal(stat(at(row[i].path), &st), 0);
        assert_int_equal(st.st_uid, NOBODY);
        assert_int_equal(st.st_gid, NOBODY);
        assert_int_equal(st.st_mode & 07777, 0750);
    }
    assert_int_equal(stat(at("new/parents"), &st), 0);
    assert_int_equal(st.st_uid, ROOT);
    expect_untouched();
}

/* In a folder that is root's alone, root acts. */
static void test_root_stays_root_where_nobody_else_can_write(void **state)
{
    struct borrowed b;

    needs_root();
    make("roots/run", 0755, ROOT);
    assert_int_equal(folder_enter(&b, at("roots/run"), &nobody, 0755), 0);
    assert_int_equal(geteuid(), ROOT);
    folder_leave(&b);
    assert_int_equal(rmdir(at("roots/run")), 0);
}

static void test_the_way_back_is_whole(void **state)
{
    gid_t before[2] = {0, 20}, after[64];
    struct borrowed b;

    needs_root();
    assert_int_equal(setgroups(2, before), 0);
    assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    assert_int_equal(folder_enter(&b, at("users"), &nobody, 0750), 0);
    for (int i = 0, n = getgroups(64, after); i < n; i++)
        assert_int_not_equal(after[i], 0);
    folder_leave(&b);
    assert_int_equal(getgroups(64, after), 2);
    assert_int_equal(after[1], 20);
    assert_int_equal(getegid(), 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}

/* The user, exchanging a folder for a link to root's as fast as it can. */
static _Noreturn void exchange(void)
{
    if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        _exit(1);
    for (;;) {
        rmdir(at("users/race"));
        if (symlink("../roots", at("users/race")) == 0)
            unlink(at("users/race"));
    }
}

static void test_a_race_gives_nothing_of_roots_away(void **state)
{
    struct borrowed b;

    needs_root();
    pid_t racer = fork();
    assert_true(racer >= 0);
    if (racer == 0)
        exchange();
    for (int i = 0; i < 3000; i++) {
        (void)folder_enter(&b, at("users/race"), &nobody, 0700);
        folder_leave(&b);
        expect_untouched();
    }
    kill(racer, SIGKILL);
    assert_int_equal(waitpid(racer, NULL, 0), racer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_user_leads_root_nowhere, make_base, remove_base),
        cmocka_unit_test_setup_teardown(test_folders_are_made_for_the_user, make_base, remove_base),
        cmocka_unit_test_setup_teardown(test_root_stays_root_where_nobody_else_can_write, make_base,
                                        remove_base),
        cmocka_unit_test_setup_teardown(test_the_way_back_is_whole, make_base, remove_base),
        cmocka_unit_test_setup_teardown(test_a_race_gives_nothing_of_roots_away, make_base,
                                        remove_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
