/* memory.c: the least limit of the groups of a process, with files as the kernel has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/memory.h"

enum { PATH_ROOM = 256 };

static char folder[] = "/tmp/test-memory-XXXXXX";
static const uint64_t machine = UINT64_C(24) << 30;

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[PATH_ROOM];

    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* Writes a file below the folder, and makes the folders above it. */
static void put(const char *name, const char *text)
{
    char path[PATH_ROOM];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *at = path + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static uint64_t found(const char *groups)
{
    char proc[PATH_ROOM];

    put("cgroup", groups);
    snprintf(proc, sizeof proc, "%s/cgroup", folder);
    return memory_within(proc, folder, machine);
}

static void test_without_groups_it_is_the_machine(void **state)
{
    assert_int_equal(memory_within("/nonexistent", folder, machine), machine);
    assert_int_equal(found(""), machine);
    assert_int_equal(found("nonsense\n0\n1:\n"), machine);
    assert_int_equal(found("0::/not/there\n"), machine);
}

static void test_the_least_limit_of_a_group_and_those_above_it_counts(void **state)
{
    put("system.slice/memory.max", "2147483648\n");
    put("system.slice/mired.service/memory.max", "max\n");
    assert_int_equal(found("0::/system.slice/mired.service\n"), UINT64_C(2) << 30);
    put("system.slice/mired.service/memory.max", "536870912\n");
    assert_int_equal(found("0::/system.slice/mired.service\n"), UINT64_C(512) << 20);
    assert_int_equal(found("0::/system.slice\n"), UINT64_C(2) << 30);
}

static void test_in_a_container_the_path_may_be_the_hosts(void **state)
{
    put("memory.max", "268435456\n");
    assert_int_equal(found("0::/docker/0123abc\n"), UINT64_C(256) << 20);
    assert_int_equal(found("0::/\n"), UINT64_C(256) << 20);
    put("memory.max", "max\n");
    assert_int_equal(found("0::/\n"), machine);
}

static void test_version_1_has_a_group_of_its_own_for_memory(void **state)
{
    put("memory/a/b/memory.limit_in_bytes", "1073741824\n");
    put("memory/memory.limit_in_bytes", "9223372036854771712\n"); /* what no limit looks like */
    assert_int_equal(found("9:cpu,cpuacct:/a/b\n"), machine);
    assert_int_equal(found("9:cpu:/\n4:hugetlb,memory:/a/b\n0::/\n"), UINT64_C(1) << 30);
    assert_int_equal(found("4:memory:/\n"), machine);
}

static void test_this_process_may_use_some(void **state)
{
    assert_true(memory_of_process() > 0 && memory_of_process() < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_groups_it_is_the_machine),
        cmocka_unit_test(test_the_least_limit_of_a_group_and_those_above_it_counts),
        cmocka_unit_test(test_in_a_container_the_path_may_be_the_hosts),
        cmocka_unit_test(test_version_1_has_a_group_of_its_own_for_memory),
        cmocka_unit_test(test_this_process_may_use_some),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
