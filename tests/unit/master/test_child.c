/* The master's end of a child's channel: src/master/child.c with the rest of the master left out. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/channel.h"
#include "base/clock.h"
#include "config/config.h"
#include "master/generation_share.h"
#include "master/master.h"

static struct master m;
static struct generation generation;
static int far_end[2];          /* of the two children's channels */
static unsigned taken[2];       /* notes of each */
static bool endless;            /* the first child sends a note for each that is taken */
static unsigned first_at_other; /* notes of the first when that of the second was taken */
static bool store_is_shut;

/* ---- the rest of the master ---- */

void note_from_child(struct master *of, struct child *c, const struct note *n)
{
    unsigned i = c->index;

    taken[i]++;
    if (i == 0 && endless)
        assert_int_equal(channel_tell(far_end[0], n->kind, 0, 0, NULL), 0);
    if (i == 1)
        first_at_other = taken[0];
}

const struct role role_table[ROLE_COUNT] = {
    [ROLE_FREEZER] = {.name = "freezer"}, [ROLE_STORE] = {.name = "store"}};

void notes_worker_ended(struct master *of, struct child *c)
{
}

void generation_child_gone(struct master *of, struct generation *g)
{
}

void generation_child_ready(struct master *of, struct child *c)
{
}

uint32_t generation_count(const struct master *of, const struct generation *g, enum role_id role)
{
    return 1;
}

void generation_child_died(struct master *of, struct generation *g)
{
}

bool generation_is_shut(const struct generation *g)
{
    return false;
}

void master_reload(struct master *of, struct asker asker)
{
}

void inherited_lack(struct master *of)
{
}

bool runtime_handoff_is_shut(const struct runtime *h)
{
    return false;
}

bool runtime_renew_store(struct runtime *h)
{
    return store_is_shut;
}

bool runtime_renew_control(struct runtime *h)
{
    return false;
}

void store_queue_close(struct loop *loop, struct store_queue *q)
{
}

static struct metrics_row rows[2];

struct metrics_row *runtime_row(const struct runtime *h, int row)
{
    return row < 0 ? NULL : &rows[row];
}

int runtime_row_take(struct runtime *h)
{
    return -1;
}

void runtime_row_give(struct runtime *h, int row)
{
}

/* ---- */

static int set_up(void **state)
{
    assert_int_equal(loop_open(&m.loop), 0);
    for (uint32_t i = 0; i < 2; i++) {
        int pair[2];
        assert_int_equal(channel_pair(pair), 0);
        /* Any process ids: child_by_pid() must find them, and nothing is sent to them. */
        struct child known = {.role = ROLE_WORKER,
                              .index = i,
                              .pid = i ? 1 : getpid(),
                              .row = -1,
                              .state = CHILD_READY,
                              .channel.fd = pair[0]};
        far_end[i] = pair[1];
        taken[i] = 0;
        assert_int_equal(child_adopt(&m, &generation, &known), 0);
    }
    endless = false;
    return 0;
}

static int tear_down(void **state)
{
    while (m.children) {
        struct child *c = m.children;
        m.children = c->next;
        if (c->channel.fd >= 0)
            close(c->channel.fd);
        free(c);
    }
    for (int i = 0; i < 2; i++)
        if (far_end[i] >= 0)
            close(far_end[i]);
    loop_close(&m.loop);
    memset(&m, 0, sizeof m);
    return 0;
}

static struct child *child(uint32_t index)
{
    struct child *c = m.children;

    while (c->index != index)
        c = c->next;
    return c;
}

static void test_a_child_that_sends_notes_without_end_gets_a_turn_like_the_others(void **state)
{
    endless = true;
    assert_int_equal(channel_tell(far_end[0], 1, 0, 0, NULL), 0);
    assert_int_equal(channel_tell(far_end[1], 1, 0, 0, NULL), 0);
    loop_turn(&m.loop, 0);
    assert_int_equal(taken[0], 64);
    assert_int_equal(taken[1], 1); /* in the same turn */
    assert_true(first_at_other == 0 || first_at_other == 64);
    for (unsigned turn = 2; turn < 100; turn++) {
        assert_int_equal(channel_tell(far_end[1], 1, 0, 0, NULL), 0);
        loop_turn(&m.loop, 0);
        assert_int_equal(taken[0], 64 * turn);
        assert_int_equal(taken[1], turn);
    }
}

static void test_a_closed_channel_is_forgotten_and_the_child_is_not(void **state)
{
    assert_int_equal(channel_tell(far_end[0], 1, 0, 0, NULL), 0);
    close(far_end[0]);
    far_end[0] = -1;
    loop_turn(&m.loop, 0);
    assert_int_equal(taken[0], 1); /* what it had sent before */
    assert_int_equal(child(0)->channel.fd, -1);
    assert_int_equal(child(0)->pid, getpid()); /* it may run on: heartbeat.c ends it */
    assert_true(child(1)->channel.fd >= 0);
    loop_turn(&m.loop, 0);
}

static void test_packets_that_are_no_notes_change_nothing(void **state)
{
    char packet[2 * NOTE_TEXT] = "x";

    for (int i = 0; i < 3; i++) {
        assert_true(write(far_end[0], packet, 1) == 1); /* no head */
        assert_true(write(far_end[0], packet, sizeof packet) == sizeof packet);
        assert_int_equal(channel_tell(far_end[0], 1, 0, 0, NULL), 0);
    }
    for (int i = 0; i < 9; i++)
        loop_turn(&m.loop, 0);
    assert_int_equal(taken[0], 3);
    assert_true(child(0)->channel.fd >= 0);
}

static void test_what_dead_workers_had_in_their_spools_counts_no_more(void **state)
{
    static struct runtime_shared shared;
    static struct config config;
    _Atomic uint64_t *used = &shared.spool_used;

    atomic_store(used, 5000);
    spool_count_again(&m); /* the memory could not be mapped */
    m.runtime.shared = &shared;
    for (int i = 0; i < 2; i++) {
        child((uint32_t)i)->row = i;
        atomic_store(&rows[i].value[METRIC_SPOOL], (uint64_t)1000 << i);
    }
    spool_count_again(&m); /* workers of an earlier program may not say what they have */
    assert_int_equal(atomic_load(used), 5000);
    generation.config = &config;
    spool_count_again(&m);
    assert_int_equal(atomic_load(used), 3000);
    pid_t pid = child(0)->pid;
    child(0)->pid = 0; /* dead: somebody else may have its row by now */
    spool_count_again(&m);
    assert_int_equal(atomic_load(used), 2000);
    child(0)->pid = pid;
    child(1)->row = -1; /* there was none left for it */
    atomic_store(used, UINT64_MAX - 7);
    spool_count_again(&m);
    assert_int_equal(atomic_load(used), 1000);
    generation.config = NULL;
}

/* Waits to be killed. */
static pid_t runs(struct child *c, enum role_id role)
{
    pid_t pid = fork();

    if (pid == 0) {
        pause();
        _exit(1);
    }
    assert_true(pid > 0);
    c->role = role;
    c->pid = pid;
    c->state = CHILD_READY;
    return pid;
}

static pid_t frees(struct child *c)
{
    return runs(c, ROLE_FREEZER);
}

/* Until the master has seen its death. */
static void dies(pid_t pid)
{
    siginfo_t info;

    assert_return_code(kill(pid, SIGKILL), 0);
    assert_return_code(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    child_reap(&m);
    assert_null(child_by_pid(&m, pid));
}

/* While one replaces the other, at a reload or an upgrade, both may die. */
static void test_one_freezers_death_says_nothing_of_the_other(void **state)
{
    static struct runtime_shared shared;
    static struct config config;
    struct freezer_shared *f = &shared.freezer;

    m.runtime.shared = &shared;
    generation.config = &config;
    pid_t works = frees(child(0)), waits = frees(child(1));
    f->working = (uint32_t)works;
    dies(waits);
    assert_int_equal(f->working, works);
    waits = frees(child(1));
    f->working = (uint32_t)waits; /* it has taken over, and the earlier one has not ended yet */
    dies(works);
    assert_int_equal(f->working, waits);
    dies(waits);
    assert_int_equal(f->working, 0);
    works = frees(child(0));
    f->working = 1; /* of an earlier program */
    dies(works);
    assert_int_equal(f->working, 0);
    generation.config = NULL;
}

/* Whatever has happened before: the rule stays if another one goes on, and else it does not. */
static void test_a_freezer_that_stops_knows_how_many_others_go_on(void **state)
{
    static struct runtime_shared shared;
    struct freezer_shared *f = &shared.freezer;

    m.runtime.shared = &shared;
    pid_t one = frees(child(0)), two = frees(child(1));
    f->waiting = UINT32_MAX;
    child_leave(&m, child(0), NOTE_STOP);
    assert_int_equal(f->waiting, 1);
    child_leave(&m, child(1), NOTE_STOP);
    assert_int_equal(f->waiting, 0);
    child(0)->state = child(1)->state = CHILD_READY;
    m.stopping = true;
    child_leave(&m, child(0), NOTE_STOP);
    assert_int_equal(f->waiting, 0);
    m.stopping = false;
    for (int i = 0; i < 2; i++) {
        assert_return_code(kill(i ? two : one, SIGKILL), 0);
        assert_return_code(waitpid(i ? two : one, NULL, 0), 0);
    }
}

/* The other one has the sockets that are shut, too. */
static void test_a_store_that_has_shut_its_sockets_takes_the_others_along(void **state)
{
    static struct config config;
    struct note n;

    generation.config = &config;
    pid_t other = runs(child(1), ROLE_STORE);
    for (int shut = 0; shut < 2; shut++) {
        store_is_shut = shut;
        dies(runs(child(0), ROLE_STORE));
        if (shut)
            assert_int_equal(channel_read_text(far_end[1], &n), 1);
        else
            assert_int_equal(channel_read_text(far_end[1], &n), -EAGAIN);
    }
    assert_int_equal(n.kind, NOTE_STOP);
    store_is_shut = false;
    dies(other);
    generation.config = NULL;
}

/* A worker that does not hear NOTE_DRAIN goes on with an earlier configuration for ever. */
static void test_a_note_that_finds_no_room_comes_when_there_is_some(void **state)
{
    struct child *c = child(0);
    struct note n;
    int last = 0;

    while (channel_tell(c->channel.fd, NOTE_PING, 0, 0, NULL) == 0)
        ;
    child_leave(&m, c, NOTE_DRAIN);
    assert_int_equal(c->owed, NOTE_DRAIN);
    for (int i = 0; i < 3; i++) /* it still does not read */
        loop_turn(&m.loop, -1);
    assert_int_equal(c->owed, NOTE_DRAIN);
    while (channel_read(far_end[0], &n) == 1)
        assert_int_equal(n.kind, NOTE_PING);
    while (c->owed)
        loop_turn(&m.loop, -1);
    while (channel_read(far_end[0], &n) == 1)
        last = (int)n.kind;
    assert_int_equal(last, NOTE_DRAIN);
    assert_int_equal(c->owed, 0);
}

static void test_the_last_note_is_the_one_that_is_owed(void **state)
{
    struct child *c = child(1);
    struct note n;

    while (channel_tell(c->channel.fd, NOTE_PING, 0, 0, NULL) == 0)
        ;
    assert_int_equal(child_tell(&m, c, NOTE_KEPT), -EAGAIN);
    assert_int_equal(child_tell(&m, c, NOTE_DRAIN), -EAGAIN);
    while (channel_read(far_end[1], &n) == 1)
        assert_int_equal(n.kind, NOTE_PING);
    while (c->owed)
        loop_turn(&m.loop, -1);
    assert_int_equal(channel_read(far_end[1], &n), 1);
    assert_int_equal(n.kind, NOTE_DRAIN);
    assert_int_equal(channel_read(far_end[1], &n), -EAGAIN);
}

/* Reads what waits in a child's channel; the answers' tags and texts, in their order. */
static unsigned answers_in(int fd, uint64_t tags[], char texts[][64])
{
    unsigned count = 0;
    struct note n;

    while (channel_read(fd, &n) == 1)
        if (n.kind == NOTE_RESULT && count < 2 * CHILD_ANSWERS) {
            tags[count] = n.tag;
            snprintf(texts[count++], 64, "%d %.50s", (int)n.arg, n.text);
        }
    return count;
}

/* mirectl waits for it. */
static void test_an_answer_that_finds_no_room_comes_when_there_is_some(void **state)
{
    static char texts[2 * CHILD_ANSWERS][64];
    uint64_t tags[2 * CHILD_ANSWERS];
    struct child *c = child(0);

    child_answer(&m, c, 7, RESULT_DONE, "at once");
    assert_int_equal(answers_in(far_end[0], tags, texts), 1);
    assert_string_equal(texts[0], "0 at once");
    while (channel_tell(c->channel.fd, NOTE_PING, 0, 0, NULL) == 0)
        ;
    child_answer(&m, c, 1, RESULT_FAILED, "no such file");
    child_answer(&m, c, 2, RESULT_BUSY, "another reload");
    child_leave(&m, c, NOTE_DRAIN);
    for (int i = 0; i < 3; i++) /* it still does not read */
        loop_turn(&m.loop, -1);
    assert_int_equal(answers_in(far_end[0], tags, texts), 0); /* and there is room now */
    child_answer(&m, c, 3, RESULT_DONE, "stopping");          /* not before the others */
    while (c->answer_count)
        loop_turn(&m.loop, -1);
    assert_int_equal(answers_in(far_end[0], tags, texts), 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(tags[i], i + 1);
    assert_string_equal(texts[0], "1 no such file");
    assert_string_equal(texts[1], "2 another reload");
    assert_string_equal(texts[2], "0 stopping");
}

/* A web process that was taken over may ask without end and read nothing. */
static void test_answers_that_nobody_reads_have_a_limit_and_end_with_the_child(void **state)
{
    static char texts[2 * CHILD_ANSWERS][64];
    uint64_t tags[2 * CHILD_ANSWERS];
    static struct config config;
    struct child *c = child(1);

    generation.config = &config;
    while (channel_tell(c->channel.fd, NOTE_PING, 0, 0, NULL) == 0)
        ;
    for (uint64_t i = 0; i < 3 * CHILD_ANSWERS; i++)
        child_answer(&m, c, i, RESULT_BUSY, "another reload");
    assert_int_equal(c->answer_count, CHILD_ANSWERS);
    assert_int_equal(answers_in(far_end[1], tags, texts), 0);
    while (c->answer_count)
        loop_turn(&m.loop, -1);
    assert_int_equal(answers_in(far_end[1], tags, texts), CHILD_ANSWERS);
    assert_int_equal(tags[CHILD_ANSWERS - 1], CHILD_ANSWERS - 1);

    while (channel_tell(c->channel.fd, NOTE_PING, 0, 0, NULL) == 0)
        ;
    child_answer(&m, c, 1, RESULT_DONE, "for nobody");
    assert_int_equal(c->answer_count, 1);
    dies(runs(c, ROLE_STORE));
    assert_int_equal(c->answer_count, 0);
    generation.config = NULL;
}

/* While descriptors, memory or processes are short, it must not cost a processor to try. */
static void test_a_child_that_cannot_be_started_is_tried_again_later_each_time(void **state)
{
    static struct config config;
    struct child *c = child(0);
    struct rlimit before;
    uint64_t wait[3];

    generation.config = &config;
    pid_t pid = runs(c, ROLE_STORE);
    c->started_ms = clock_mono_ms() - 120000; /* so it is started again at once */
    dies(pid);
    assert_int_equal(c->restart.timer.at, m.loop.now);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}), 0);
    for (int i = 0; i < 3; i++) {
        uint64_t at = c->restart.timer.at;
        while (c->restart.timer.at == at && m.loop.now < at + 1000)
            loop_turn(&m.loop, -1);
        wait[i] = c->restart.timer.at - m.loop.now;
    }
    assert_return_code(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(c->state, CHILD_DEAD);
    for (uint64_t i = 0; i < 3; i++)
        assert_in_range(wait[i], 100 << i, 100 << i);
    generation.config = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_child_that_cannot_be_started_is_tried_again_later_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_child_that_sends_notes_without_end_gets_a_turn_like_the_others, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_what_dead_workers_had_in_their_spools_counts_no_more,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_closed_channel_is_forgotten_and_the_child_is_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_freezers_death_says_nothing_of_the_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_freezer_that_stops_knows_how_many_others_go_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_store_that_has_shut_its_sockets_takes_the_others_along, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_packets_that_are_no_notes_change_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_note_that_finds_no_room_comes_when_there_is_some,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_last_note_is_the_one_that_is_owed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_answer_that_finds_no_room_comes_when_there_is_some,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_answers_that_nobody_reads_have_a_limit_and_end_with_the_child, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
