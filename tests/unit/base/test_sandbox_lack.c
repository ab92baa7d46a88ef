/* sandbox_lack(): what is said of each kernel, and how loud. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sandbox.h"

enum {
    FILES = SANDBOX_LANDLOCK_FILES,
    TCP = SANDBOX_LANDLOCK_TCP,
    SIGNALS = SANDBOX_LANDLOCK_SIGNALS
};

/* The words of each kernel, in their order; an exclamation mark for what is grave. */
static const struct {
    unsigned available;
    const char *said[4];
} kernels[] = {
    {SANDBOX_SECCOMP | FILES | TCP | SIGNALS, {NULL}},
    {SANDBOX_SECCOMP | FILES | TCP | SIGNALS | SANDBOX_ROOT, {NULL}},
    {SANDBOX_SECCOMP | FILES | TCP, {" no signals"}},            /* Linux 6.7 */
    {SANDBOX_SECCOMP | FILES, {" no TCP ports", " no signals"}}, /* Linux 6.1, of Debian 12 */
    {SANDBOX_SECCOMP, {"!no Landlock"}},
    {SANDBOX_SECCOMP | SANDBOX_ROOT, {"!no Landlock"}},
    {FILES | TCP | SIGNALS, {"!no seccomp"}},
    {0, {"!no seccomp", "!no Landlock"}},
};

static void test_each_part_that_is_missing_is_said_once(void **state)
{
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        unsigned at = 0;
        bool grave;
        for (const char *const *said = kernels[k].said; *said; said++) {
            const char *text = sandbox_lack(kernels[k].available, &at, &grave);
            assert_non_null(text);
            assert_non_null(strstr(text, *said + 1));
            assert_int_equal(grave, **said == '!');
        }
        assert_null(sandbox_lack(kernels[k].available, &at, &grave));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_part_that_is_missing_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
