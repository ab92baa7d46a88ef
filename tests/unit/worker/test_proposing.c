/* A worker that takes over a ring of proposals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "tarpit/ledger_proposals.h"
#include "worker/proposing.h"

static struct fake f;

static int setup(void **state)
{
    fake_open(&f);
    f.params.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f.params.proposals =
        mmap(NULL, proposals_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(f.params.bell >= 0 && f.params.proposals != MAP_FAILED);
    return 0;
}

static int teardown(void **state)
{
    struct proposals *ring = f.params.proposals;

    proposing_close(f.w);
    fake_close(&f);
    munmap(ring, proposals_size());
    close(f.params.bell);
    return 0;
}

static bool rings(void)
{
    uint64_t n;

    return read(f.params.bell, &n, sizeof n) == sizeof n;
}

/* A worker before this one has written, has seen that the keeper sleeps, and was killed before it
 * rang. Nothing else would wake the keeper before its next look, 10 s later. */
static void test_a_worker_rings_for_what_one_that_died_has_left(void **state)
{
    assert_true(proposals_sleep(f.params.proposals));
    assert_true(proposals_write(f.params.proposals, &(struct proposal){.op = PROPOSE_SIGHT}));
    assert_true(proposals_must_wake(f.params.proposals));
    assert_int_equal(proposing_open(f.w), 0);
    assert_true(rings());
}

static void test_a_worker_with_an_empty_ring_leaves_the_keeper_asleep(void **state)
{
    assert_true(proposals_sleep(f.params.proposals));
    assert_int_equal(proposing_open(f.w), 0);
    proposing_flush(f.w);
    assert_false(rings());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_worker_rings_for_what_one_that_died_has_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_worker_with_an_empty_ring_leaves_the_keeper_asleep,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
