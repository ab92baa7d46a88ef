/* The frozen table in virtual time: what goes in comes out when it is due, whole, once, also after
 * a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mapfile.h"
#include "freezer/table.h"
#include "query/tally.h"

enum { NOW = 1000000, KEEP = 60000 };

static char folder[] = "/tmp/mired-table-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/frozen", folder);
    return 0;
}

static int remove_folder(void **state)
{
    char aside[96];
    unlink(path);
    snprintf(aside, sizeof aside, "%s.set-aside", path);
    unlink(aside);
    return rmdir(folder);
}

static int remove_file(void **state)
{
    unlink(path);
    return 0;
}

/* Both steps of the freezer. */
static int open_table(struct frozen_table **t, const char *at, uint32_t records, uint64_t now,
                      uint64_t keep_ms)
{
    int r = table_prepare(at, records);
    return r < 0 ? r : table_open(t, at, records, now, keep_ms);
}

static struct frozen_table *open_at_with(uint64_t now, uint32_t records)
{
    struct frozen_table *t;
    assert_int_equal(open_table(&t, path, records, now, KEEP), 0);
    return t;
}

static struct frozen_table *open_at(uint64_t now)
{
    return open_at_with(now, 1000);
}

static struct frozen_hold hold(uint16_t port, uint64_t due, struct span session)
{
    struct frozen_hold h = {.due_ms = due, .frozen_ms = NOW, .slot = 3, .session = session};
    h.tcp.family = 4;
    memcpy(h.tcp.local, "\177\0\0\1", 4);
    memcpy(h.tcp.remote, "\300\0\2\7", 4);
    h.tcp.local_port = 25;
    h.tcp.remote_port = port;
    h.tcp.send_seq = port * 7u;
    return h;
}

static void put(struct frozen_table *t, uint16_t port, uint64_t due, struct span session)
{
    struct frozen_hold h = hold(port, due, session);
    assert_int_equal(table_put(t, &h), 0);
}

/* The next hold that is due, which there must be: its id. *h is good until the next call. */
static uint32_t must_be_due(struct frozen_table *t, uint64_t now, struct frozen_hold *h)
{
    static char room[FROZEN_ROOM];
    uint32_t id;

    assert_true(table_due(t, now, &id, h, room));
    return id;
}

/* Takes one due hold out and returns its port, or 0. */
static uint16_t take(struct frozen_table *t, uint64_t now)
{
    char room[FROZEN_ROOM];
    struct frozen_hold h;
    uint32_t id;

    if (!table_due(t, now, &id, &h, room))
        return 0;
    table_drop(t, id);
    assert_int_equal(h.tcp.send_seq, h.tcp.remote_port * 7u);
    return h.tcp.remote_port;
}

static void test_a_hold_comes_out_when_it_is_due_and_not_before(void **state)
{
    struct frozen_table *t = open_at(NOW);

    put(t, 1, NOW + 5000, SPAN("one"));
    put(t, 2, NOW + 1000, SPAN("two"));
    assert_int_equal(take(t, NOW + 999), 0);
    assert_true(table_next(t) >= NOW + 1000);
    assert_true(table_next(t) < NOW + 1100);
    assert_int_equal(take(t, NOW + 1040), 2);
    assert_int_equal(take(t, NOW + 4999), 0);
    assert_int_equal(take(t, NOW + 5040), 1);
    assert_int_equal(table_count(t), 0);
    assert_true(table_next(t) == UINT64_MAX);
    table_close(t);
}

static void test_a_hold_waits_as_long_whatever_the_clock_is_set_to(void **state)
{
    static const int64_t hours[] = {-5, -50, 3, 25};
    for (size_t i = 0; i < sizeof hours / sizeof *hours; i++) {
        uint64_t before = NOW + 100ull * 3600 * 1000;
        uint64_t after = before + (uint64_t)(hours[i] * 3600 * 1000);
        struct frozen_table *t = open_at(before);
        struct frozen_hold h = hold(1, before + 5000, SPAN("one"));
        h.frozen_ms = before;
        assert_int_equal(table_put(t, &h), 0);

        table_clock_was_set(t, hours[i] * 3600 * 1000); /* two seconds later */
        table_close(t);
        t = open_at(after + 2000);
        assert_int_equal(take(t, after + 4999), 0);
        assert_int_equal(take(t, after + 5040), 1);
        table_close(t);
        unlink(path);
    }
}

static void test_a_hold_frozen_in_the_future_waits_its_whole_time_again(void **state)
{
    enum { HOURS = 30 * 3600 * 1000 };
    struct frozen_table *t = open_at(NOW + HOURS);
    struct frozen_hold h = hold(1, NOW + (uint64_t)HOURS + 5000, SPAN("one"));
    h.frozen_ms = NOW + HOURS;
    assert_int_equal(table_put(t, &h), 0);
    table_close(t);
    t = open_at(NOW); /* the clock went back while nobody had the table */
    assert_int_equal(take(t, NOW + 4999), 0);
    assert_int_equal(take(t, NOW + 5040), 1);
    table_close(t);
}

static void test_a_hold_beyond_the_ring_waits_its_time(void **state)
{
    struct frozen_table *t = open_at(NOW);

    put(t, 9, NOW + 3600000, SPAN("an hour"));
    for (uint64_t now = NOW; now < NOW + 3600000; now += 10000)
        assert_int_equal(take(t, now), 0);
    assert_int_equal(take(t, NOW + 3600100), 9);
    table_close(t);
}

static void test_sessions_of_any_length_come_back_whole(void **state)
{
    struct frozen_table *t = open_at(NOW);
    char session[FROZEN_SESSION_MAX];

    for (size_t i = 0; i < sizeof session; i++)
        session[i] = (char)(i * 31 + i / 251);
    for (size_t len = 0; len <= sizeof session; len += len < 700 ? 1 : 97) {
        struct frozen_hold h;
        put(t, 5, NOW, (struct span){session, len});
        uint32_t id = must_be_due(t, NOW + 1000 + len * 100, &h);
        assert_int_equal(h.session.len, len);
        assert_memory_equal(h.session.at, session, len);
        table_drop(t, id);
    }
    struct frozen_hold h = hold(1, NOW, (struct span){session, sizeof session + 1});
    assert_int_equal(table_put(t, &h), -E2BIG);
    table_close(t);
}

/* field notes 31: for a sanitizer, which memcpy(NULL, 0) is a report for. */
static void test_an_empty_session_may_point_nowhere(void **state)
{
    struct frozen_table *t = open_at(NOW);

    put(t, 1, NOW + 1000, (struct span){NULL, 0});
    assert_int_equal(take(t, NOW + 1040), 1);
    table_close(t);
}

static void test_an_ip6_hold_comes_back_as_it_was(void **state)
{
    struct frozen_table *t = open_at(NOW);
    struct frozen_hold h = hold(7, NOW + 1000, SPAN("six")), back;

    h.tcp.family = 6;
    memset(h.tcp.local, 0xfd, 16);
    memset(h.tcp.remote, 0xfe, 16);
    h.tcp.mss = 1440;
    h.tcp.window[4] = 99;
    assert_int_equal(table_put(t, &h), 0);
    h.tcp.remote[15] = 0; /* another client */
    assert_int_equal(table_put(t, &h), 0);
    assert_int_equal(table_count(t), 2);
    must_be_due(t, NOW + 1040, &back);
    assert_memory_equal(&back.tcp, &h.tcp, sizeof h.tcp); /* the later one stands first */
    assert_int_equal(back.due_ms, NOW + 1000);
    assert_int_equal(back.frozen_ms, NOW);
    assert_int_equal(back.slot, 3);
    table_close(t);
}

static off_t file_size(void)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 + 65536 >
                st.st_size); /* not sparse: tar and cp copy what there is */
    return st.st_size;
}

/* Field notes 23: a file of 3.9 GB that held nothing was copied whole. */
static void test_the_file_is_as_long_as_what_it_holds(void **state)
{
    struct frozen_table *t;

    assert_int_equal(open_table(&t, path, 1 << 20, NOW, KEEP), 0);
    assert_true(file_size() < 1 << 20);
    for (uint32_t i = 0; i < 60000; i++)
        put(t, (uint16_t)i, NOW + 1000, SPAN("x"));
    assert_true(file_size() > 60000 * FROZEN_RECORD);
    assert_true(file_size() < 32 << 20);
    table_close(t);
    assert_int_equal(open_table(&t, path, 1 << 20, NOW, KEEP), 0);
    assert_int_equal(table_count(t), 60000);
    table_close(t);
    assert_int_equal(open_table(&t, path, 1 << 20, NOW + 2000 + KEEP, KEEP), 0); /* all too late */
    assert_int_equal(table_count(t), 0);
    assert_true(file_size() < 1 << 20);
    for (uint32_t i = 0; i < 5000; i++)
        put(t, (uint16_t)i, NOW + 3000 + KEEP, SPAN("x"));
    assert_int_equal(table_count(t), 5000);
    table_close(t);
}

/* Earlier versions made it as long as it could ever be. */
static void test_a_file_of_full_length_is_taken_over_and_made_shorter(void **state)
{
    struct frozen_table *t = open_at_with(NOW, 1 << 20);

    for (uint16_t i = 1; i <= 3000; i++)
        put(t, i, NOW + 1000, SPAN("x"));
    table_close(t);
    assert_int_equal(truncate(path, 4096 + ((off_t)FROZEN_RECORD << 20)), 0);
    t = open_at_with(NOW, 1 << 20);
    assert_int_equal(table_count(t), 3000);
    assert_true(file_size() < 4 << 20);
    table_close(t);
}

static void test_of_a_file_that_was_cut_what_is_left_is_read(void **state)
{
    static const off_t left[] = {4096, 4097, 8192, 4096 + 100 * FROZEN_RECORD, 300000};

    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        struct frozen_table *t = open_at_with(NOW, 1 << 20);
        for (uint16_t n = 1; n <= 3000; n++)
            put(t, n, NOW + 1000, SPAN("x"));
        table_close(t);
        assert_int_equal(truncate(path, left[i]), 0);
        t = open_at_with(NOW, 1 << 20);
        assert_true(table_count(t) < 3000);
        for (uint16_t n = 1; n <= 3000; n++)
            put(t, n, NOW + 1000, SPAN("y"));
        assert_int_equal(table_count(t), 3000);
        table_close(t);
        unlink(path);
    }
}

static void test_a_newcomer_with_the_same_addresses_and_ports_wins(void **state)
{
    struct frozen_table *t = open_at(NOW);
    char room[FROZEN_ROOM];
    struct frozen_hold h;
    uint32_t id;

    put(t, 4, NOW + 1000, SPAN("old"));
    put(t, 4, NOW + 2000, SPAN("new"));
    assert_int_equal(table_count(t), 1);
    assert_false(table_due(t, NOW + 1500, &id, &h, room));
    assert_true(table_due(t, NOW + 2100, &id, &h, room));
    assert_memory_equal(h.session.at, "new", 3);
    table_close(t);
}

static void test_a_full_table_says_so_and_goes_on_when_there_is_room(void **state)
{
    struct frozen_table *t = open_at(NOW);
    char big[1000] = {0};

    for (uint16_t port = 1; port < 1000; port++)
        put(t, port, NOW + port, SPAN("x"));
    struct frozen_hold h = hold(2000, NOW, SPAN("y"));
    assert_int_equal(table_put(t, &h), -ENOSPC);
    assert_int_not_equal(take(t, NOW + 100), 0);
    h.session = (struct span){big, sizeof big};
    assert_int_equal(table_put(t, &h), -ENOSPC); /* wants several records, takes none */
    h.session = SPAN("y");
    assert_int_equal(table_put(t, &h), 0);
    table_close(t);
}

/* A file system of 300 KiB in a mount name space of our own, so that it goes with the process. */
static bool mount_tiny(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", folder, "tmpfs", 0, "size=300k") == 0;
}

static int unmount_tiny(void **state)
{
    umount(folder); /* with the file; not mounted: nothing */
    return remove_file(state);
}

static void test_a_full_disk_is_a_full_table_until_there_is_room(void **state)
{
    struct frozen_table *t;
    uint16_t port = 0;
    int r;

    if (!mount_tiny()) {
        print_message("no right to mount a small file system here\n");
        skip();
    }
    r = open_table(&t, path, 5000, NOW, KEEP);
    while (r == 0) {
        port++;
        struct frozen_hold h = hold(port, NOW + port, SPAN("x"));
        r = table_put(t, &h);
    }
    uint16_t held = port - 1;
    assert_int_equal(r, -ENOSPC);
    assert_in_range(held, 500, 2000); /* what it says it has it has: no write was a bus error */
    assert_int_not_equal(take(t, NOW + 100), 0);
    put(t, port, NOW + port, SPAN("in its place"));
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT, "size=2m"), 0);
    put(t, port + 1, NOW + port + 1, SPAN("beyond"));
    assert_int_equal(table_count(t), held + 1);
    table_close(t);
    t = open_at_with(NOW, 5000);
    assert_int_equal(table_count(t), held + 1);
    table_close(t);
}

static void test_where_there_is_no_room_at_all_no_table_is_begun(void **state)
{
    struct frozen_table *t;

    if (!mount_tiny() || mount(NULL, folder, NULL, MS_REMOUNT, "size=40k") != 0) {
        print_message("no right to mount a small file system here\n");
        skip();
    }
    assert_int_equal(open_table(&t, path, 5000, NOW, KEEP), -ENOSPC);
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT, "size=300k"), 0);
    assert_int_equal(open_table(&t, path, 5000, NOW, KEEP), 0);
    put(t, 1, NOW, SPAN("x"));
    table_close(t);
}

static void test_a_prepared_table_waits_for_room_without_a_new_file(void **state)
{
    struct frozen_table *t;
    struct stat before, after;

    if (!mount_tiny() || mount(NULL, folder, NULL, MS_REMOUNT, "size=40k") != 0) {
        print_message("no right to mount a small file system here\n");
        skip();
    }
    char filler[96];
    snprintf(filler, sizeof filler, "%s/filler", folder);
    int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(posix_fallocate(fd, 0, 40 << 10) == 0); /* not even a head has room */
    close(fd);
    assert_int_equal(table_prepare(path, 5000), 0);
    assert_int_equal(stat(path, &before), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(table_open(&t, path, 5000, NOW, KEEP), -ENOSPC);
    assert_int_equal(mount(NULL, folder, NULL, MS_REMOUNT, "size=400k"), 0);
    assert_int_equal(table_open(&t, path, 5000, NOW, KEEP), 0);
    put(t, 1, NOW, SPAN("x"));
    table_close(t);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    unlink(filler);
}

static void test_holds_survive_and_what_is_too_old_is_dropped(void **state)
{
    struct frozen_table *t = open_at(NOW);
    char big[1000];

    memset(big, 'b', sizeof big);
    put(t, 1, NOW + 1000, SPAN("too old by then"));
    put(t, 2, NOW + 50000, (struct span){big, sizeof big});
    put(t, 3, NOW + 100000, SPAN("not due"));
    table_close(t); /* nothing was prepared for it: as after kill -9 */

    t = open_at(NOW + 70000);
    assert_int_equal(table_count(t), 2);
    struct frozen_hold h;
    uint32_t id = must_be_due(t, NOW + 70100, &h);
    assert_int_equal(h.tcp.remote_port, 2);
    assert_int_equal(h.session.len, sizeof big);
    assert_memory_equal(h.session.at, big, sizeof big);
    table_drop(t, id);
    assert_int_equal(take(t, NOW + 99000), 0);
    assert_int_equal(take(t, NOW + 100100), 3);
    table_close(t);
}

static void test_what_nobody_can_take_comes_out_again_later_and_is_due_as_before(void **state)
{
    struct frozen_table *t = open_at(NOW);
    char room[FROZEN_ROOM];
    struct frozen_hold h;
    uint32_t id;

    put(t, 1, NOW + 1000, SPAN("x"));
    assert_true(table_due(t, NOW + 1040, &id, &h, room));
    table_again(t, id, NOW + 3000);
    assert_false(table_due(t, NOW + 2900, &id, &h, room));
    assert_true(table_due(t, NOW + 3040, &id, &h, room));
    assert_int_equal(h.due_ms, NOW + 1000);
    table_close(t);
}

/* The freezer takes a batch before it puts any back. */
static void test_what_is_due_comes_once_until_it_is_said_what_becomes_of_it(void **state)
{
    struct frozen_table *t = open_at(NOW);
    static char room[3][FROZEN_ROOM];
    struct frozen_hold h[3], none;
    uint32_t id[3], no_id;

    for (uint16_t port = 1; port <= 3; port++)
        put(t, port, NOW + 1000, SPAN("x"));
    for (int i = 0; i < 3; i++)
        assert_true(table_due(t, NOW + 1040, &id[i], &h[i], room[i]));
    assert_false(table_due(t, NOW + 1040, &no_id, &none, room[0]));
    assert_int_equal(h[0].tcp.remote_port + h[1].tcp.remote_port + h[2].tcp.remote_port, 6);
    assert_int_equal(table_count(t), 3);
    table_drop(t, id[1]);
    table_again(t, id[0], NOW + 2000);
    table_drop(t, id[2]);
    assert_int_equal(take(t, NOW + 2040), h[0].tcp.remote_port);
    assert_int_equal(table_count(t), 0);
    table_close(t);
}

static void test_what_is_in_hand_is_found_after_a_crash(void **state)
{
    struct frozen_table *t = open_at(NOW);
    struct frozen_hold h;

    put(t, 7, NOW + 1000, SPAN("x"));
    must_be_due(t, NOW + 1040, &h);
    table_close(t);
    t = open_at(NOW + 1100);
    assert_int_equal(take(t, NOW + 1140), 7);
    table_close(t);
}

static void test_what_only_some_have_comes_back_too(void **state)
{
    struct frozen_table *t = open_at(NOW);
    char long_session[300];
    struct frozen_hold back;

    memset(long_session, 's', sizeof long_session);
    for (int some = 0; some < 8; some++) {
        bool behind = some & 1, own_way = some & 2;
        struct span session =
            some & 4 ? (struct span){long_session, sizeof long_session} : SPAN("short");
        struct frozen_hold h = hold(9, NOW + 1000, session);
        if (behind)
            h.client = (struct addr){.family = ADDR_IP4, .port = 77, .octets = {198, 51, 100, 4}};
        h.way = own_way ? 0xfeedbee5 : 0;
        h.tcp.family = 6;
        assert_int_equal(table_put(t, &h), 0);
        uint32_t id = must_be_due(t, NOW + 1040, &back);
        assert_int_equal(back.way, h.way);
        assert_true(addr_equal(&back.client, &h.client));
        assert_memory_equal(&back.tcp, &h.tcp, sizeof h.tcp);
        assert_int_equal(back.session.len, session.len);
        assert_memory_equal(back.session.at, session.at, session.len);
        table_drop(t, id);
    }
    table_close(t);
}

static void test_one_that_stays_an_ordinary_hold_is_forgotten(void **state)
{
    struct frozen_table *t = open_at(NOW);
    struct frozen_hold h = hold(2, NOW + 1000, SPAN("x"));

    put(t, 1, NOW + 1000, SPAN("x"));
    table_forget(t, &h);
    assert_int_equal(table_count(t), 1);
    put(t, 2, NOW + 1000, SPAN("x"));
    table_forget(t, &h);
    assert_int_equal(take(t, NOW + 1040), 1);
    assert_int_equal(take(t, NOW + 1040), 0);
    table_close(t);
}

static void test_a_release_makes_a_networks_holds_due(void **state)
{
    struct frozen_table *t = open_at(NOW);
    struct network n;

    put(t, 1, NOW + 90000, SPAN("x"));
    put(t, 2, NOW + 90000, SPAN("x"));
    assert_true(network_parse(SPAN("198.51.100.0/24"), &n));
    assert_int_equal(table_release(t, &n, NOW), 0);
    assert_int_equal(table_count_of(t, &n), 0);
    assert_true(network_parse(SPAN("192.0.2.7"), &n));
    assert_int_equal(table_count_of(t, &n), 2);
    struct tally tally;
    assert_true(tally_parse(&tally, SPAN("198.51.100.1 192.0.2.7")));
    assert_int_equal(table_tally(t, &tally), 0);
    assert_int_equal(tally.held[0], 0);
    assert_int_equal(tally.held[1], 2);
    assert_int_equal(table_release(t, &n, NOW), 2);
    assert_int_not_equal(take(t, NOW + 100), 0);
    assert_int_equal(table_count_of(t, &n), 1);
    assert_int_not_equal(take(t, NOW + 100), 0);
    assert_int_equal(take(t, NOW + 100), 0);
    assert_int_equal(table_count_of(t, &n), 0);
    table_close(t);
}

static void test_who_is_behind_a_balancer_is_known_by_his_own_address(void **state)
{
    struct frozen_table *t = open_at(NOW);
    struct frozen_hold h = hold(1, NOW + 90000, SPAN("x"));
    struct network n;
    char big[500] = {7};

    assert_true(addr_parse(SPAN("2001:db8::7"), &h.client));
    assert_int_equal(table_put(t, &h), 0);
    h = hold(2, NOW + 90000, (struct span){big, sizeof big});
    assert_true(addr_parse(SPAN("198.51.100.9"), &h.client));
    assert_int_equal(table_put(t, &h), 0);
    put(t, 3, NOW + 90000, SPAN("y"));

    table_close(t);
    t = open_at(NOW);
    assert_true(network_parse(SPAN("192.0.2.7"), &n));
    assert_int_equal(table_count_of(t, &n), 1); /* the balancer's own */
    assert_true(network_parse(SPAN("2001:db8::/32"), &n));
    assert_int_equal(table_release(t, &n, NOW), 1);
    assert_int_equal(take(t, NOW + 100), 1);
    assert_true(network_parse(SPAN("198.51.100.0/24"), &n));
    assert_int_equal(table_release(t, &n, NOW), 1);
    uint32_t id = must_be_due(t, NOW + 100, &h);
    assert_true(network_contains(&n, &h.client));
    assert_int_equal(h.session.len, sizeof big);
    assert_memory_equal(h.session.at, big, sizeof big);
    table_drop(t, id);
    assert_int_equal(table_count(t), 1);
    table_close(t);
}

/* Where in the file a field of a record stands. */
static off_t place(uint32_t id, size_t field)
{
    return 4096 + (off_t)id * FROZEN_RECORD + (off_t)field;
}

static void damage(off_t at, const void *with, size_t len)
{
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, with, len, at), len);
    close(fd);
}

enum { AT_STATE = 0, AT_FLAGS = 1, AT_LEN = 2, AT_MORE = 4, AT_DUE = 16, LONG = 900 };

/* field notes 29: three holds of several records each, and one link, length or state that is wrong.
 * The others come back, and nothing is followed to where it must not go. */
static void test_a_damaged_chain_costs_its_own_hold_only(void **state)
{
    static const struct {
        size_t field;
        uint32_t id, with;
        unsigned left; /* of three */
    } cases[] = {
        {AT_MORE, 1, 0, 2},          /* too short */
        {AT_MORE, 1, 0x7fffffff, 2}, /* far outside */
        {AT_MORE, 1, 1000, 2},       /* just outside */
        {AT_MORE, 1, 1, 2},          /* itself */
        {AT_MORE, 4, 0xffffffff, 2}, /* a link beyond the last octet, followed when it is given back
                                      */
        {AT_MORE, 4, 2, 2},          /* and round in a circle */
        {AT_MORE, 5, 6, 2},          /* into another hold's chain */
        {AT_MORE, 4, 5, 2},          /* on to what is no further record */
        {AT_STATE, 2, 0, 2},
        {AT_STATE, 3, 'H', 2},
        {AT_LEN, 1, 0, 2},
        {AT_LEN, 1, 0xffff, 2},
        {AT_LEN, 1, 40, 2},
        {AT_FLAGS, 5, 0xff, 3}, /* what is unknown is passed over, what is claimed is read */
        {AT_DUE, 9, 0xffffffff, 3},
    };
    static char session[LONG];

    memset(session, 's', sizeof session);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct frozen_table *t = open_at(NOW);
        unsigned left = 0;
        size_t width = cases[i].field == AT_MORE  ? 4
                       : cases[i].field == AT_DUE ? 4
                       : cases[i].field == AT_LEN ? 2
                                                  : 1;
        for (uint16_t port = 1; port <= 3; port++) /* records 1-4 (or 5), and so on */
            put(t, port, NOW + 1000, (struct span){session, sizeof session});
        table_close(t);
        damage(place(cases[i].id, cases[i].field), &cases[i].with, width);
        t = open_at(NOW);
        assert_in_range(table_count(t), 0, 3);
        while (take(t, NOW + 2000))
            left++;
        if (left < cases[i].left)
            fail_msg("case %zu: %u holds are left", i, left);
        assert_int_equal(table_count(t), 0);
        for (uint16_t port = 1; port <= 100; port++) /* and it is of use still */
            put(t, port, NOW + 3000, (struct span){session, sizeof session});
        for (left = 0; take(t, NOW + 4000); left++)
            ;
        if (left != 100)
            fail_msg("case %zu: %u of 100 new holds come out", i, left);
        table_close(t);
        unlink(path);
    }
}

/* Any octet of a used file may be anything. */
static void test_no_damage_is_followed_out_of_the_file(void **state)
{
    static char session[LONG];

    srand(29);
    for (int i = 0; i < 800; i++) {
        struct frozen_table *t = open_at_with(NOW, 40);
        for (uint16_t port = 1; port <= 6; port++)
            put(t, port, NOW + 1000, (struct span){session, (size_t)(rand() % LONG)});
        table_close(t);
        for (int k = rand() % 6; k >= 0; k--) {
            uint32_t with = rand() & 1 ? (uint32_t)rand() : (uint32_t)(rand() % 45);
            damage(place((uint32_t)(rand() % 30), (size_t)(rand() % (k & 1 ? 24 : 228))), &with, 4);
        }
        t = open_at_with(NOW, 40);
        char room[FROZEN_ROOM];
        struct frozen_hold h;
        struct network n;
        uint32_t id;
        assert_true(network_parse(SPAN("192.0.2.0/24"), &n));
        (void)table_count_of(t, &n);
        (void)table_release(t, &n, NOW + 500);
        while (table_due(t, NOW + 2000, &id, &h, room))
            table_drop(t, id);
        put(t, 9, NOW + 1000, SPAN("x"));
        table_close(t);
        unlink(path);
    }
}

/* field notes 29 */
static void test_a_table_whose_file_is_cut_short_is_opened_anew(void **state)
{
    static const off_t sizes[] = {0, 4096, 4096 + 2 * FROZEN_RECORD, 4096 + 4096, 4096 + 5000};
    static char session[LONG];
    char room[FROZEN_ROOM];
    struct frozen_hold h;
    uint32_t id;

    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct frozen_table *t = open_at(NOW), *whole;
        for (uint16_t port = 1; port <= 50; port++)
            put(t, port, NOW + 1000 + port, (struct span){session, sizeof session});
        assert_false(table_is_cut(t));
        assert_int_equal(truncate(path, sizes[i]), 0);
        while (table_due(t, NOW + 5000, &id, &h, room))
            table_drop(t, id);
        assert_true(table_is_cut(t));
        table_forget(t, &(struct frozen_hold){.tcp = {.family = 4}});
        assert_true(mapfile_tend(true));
        assert_int_equal(open_table(&whole, path, 1000, NOW, KEEP), 0);
        table_close(t);
        assert_false(table_is_cut(whole));
        put(whole, 99, NOW + 1000, SPAN("x"));
        bool found = false;
        for (uint16_t port; (port = take(whole, NOW + 5000)) != 0;)
            found |= port == 99;
        assert_true(found);
        table_close(whole);
        unlink(path);
    }
    log_to(2);
}

/* Random puts, takes, releases and reopenings against a plain array. */
static void test_it_agrees_with_a_plain_array(void **state)
{
    static uint64_t due[800];
    struct frozen_table *t = open_at(NOW);
    uint64_t now = NOW;
    char session[600];

    srand(7);
    memset(due, 0, sizeof due);
    for (int i = 0; i < 20000; i++) {
        uint16_t port = (uint16_t)(1 + rand() % 799);
        memset(session, port & 0xff, sizeof session);
        struct frozen_hold h = hold(port, now + (uint64_t)(rand() % 3000),
                                    (struct span){session, (size_t)(rand() % 90)});
        if (table_put(t, &h) == 0)
            due[port] = h.due_ms;
        now += (uint64_t)(rand() % 20);
        for (uint16_t p; (p = take(t, now)) != 0; due[p] = 0) {
            assert_int_not_equal(due[p], 0);
            assert_true(due[p] <= now);
        }
        if (i % 2000 == 1999) {
            table_close(t);
            t = open_at(now);
        }
    }
    uint32_t left = 0;
    for (int p = 0; p < 800; p++)
        left += due[p] != 0;
    assert_int_equal(table_count(t), left);
    table_close(t);
}

/* Batches that are prefetched, from an empty table until its index has been doubled twice, and out
 * again; also those that are there already, and more of them than one batch. */
static void test_what_is_expected_comes_and_goes_as_ever(void **state)
{
    enum { ALL = 5000, TOGETHER = TCP_JOBS + 3 };
    struct frozen_table *t = open_at_with(NOW, 2 * ALL);
    const struct frozen_hold *expected[TOGETHER];
    struct frozen_hold h[TOGETHER];
    char room[TCP_JOBS][FROZEN_ROOM];
    uint32_t id[TCP_JOBS];
    uint16_t port = 1;

    table_expect(t, expected, 0);
    while (port + TOGETHER <= ALL) {
        for (int i = 0; i < TOGETHER; i++) {
            h[i] = hold(port++, NOW + 1000, SPAN("session"));
            expected[i] = &h[i];
        }
        table_expect(t, expected, TOGETHER);
        for (int i = 0; i < TOGETHER; i++)
            assert_int_equal(table_put(t, &h[i]), 0);
        table_expect(t, expected, TOGETHER); /* a newer connection with the same ends */
        assert_int_equal(table_put(t, &h[7]), 0);
    }
    assert_int_equal(table_count(t), port - 1);
    for (uint32_t left = table_count(t); left;) {
        size_t n = 0;
        while (n < TCP_JOBS && table_due(t, NOW + 2000, &id[n], &h[n], room[n]))
            n++;
        assert_true(n > 0);
        table_expect_drops(t, id, n);
        for (size_t i = 0; i < n; i++)
            table_drop(t, id[i]);
        left -= (uint32_t)n;
        assert_int_equal(table_count(t), left);
    }
    for (uint16_t again = 1; again < port; again++) {
        h[0] = hold(again, NOW + 1000, SPAN("session"));
        table_forget(t, &h[0]); /* none is found */
    }
    assert_int_equal(table_count(t), 0);
    table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_hold_comes_out_when_it_is_due_and_not_before, remove_file),
        cmocka_unit_test_teardown(test_a_hold_waits_as_long_whatever_the_clock_is_set_to,
                                  remove_file),
        cmocka_unit_test_teardown(test_a_hold_frozen_in_the_future_waits_its_whole_time_again,
                                  remove_file),
        cmocka_unit_test_teardown(test_a_hold_beyond_the_ring_waits_its_time, remove_file),
        cmocka_unit_test_teardown(test_sessions_of_any_length_come_back_whole, remove_file),
        cmocka_unit_test_teardown(test_an_empty_session_may_point_nowhere, remove_file),
        cmocka_unit_test_teardown(test_an_ip6_hold_comes_back_as_it_was, remove_file),
        cmocka_unit_test_teardown(test_the_file_is_as_long_as_what_it_holds, remove_file),
        cmocka_unit_test_teardown(test_a_file_of_full_length_is_taken_over_and_made_shorter,
                                  remove_file),
        cmocka_unit_test_teardown(test_of_a_file_that_was_cut_what_is_left_is_read, remove_file),
        cmocka_unit_test_teardown(test_a_newcomer_with_the_same_addresses_and_ports_wins,
                                  remove_file),
        cmocka_unit_test_teardown(test_a_full_table_says_so_and_goes_on_when_there_is_room,
                                  remove_file),
        cmocka_unit_test_teardown(test_a_full_disk_is_a_full_table_until_there_is_room,
                                  unmount_tiny),
        cmocka_unit_test_teardown(test_a_prepared_table_waits_for_room_without_a_new_file,
                                  unmount_tiny),
        cmocka_unit_test_teardown(test_where_there_is_no_room_at_all_no_table_is_begun,
                                  unmount_tiny),
        cmocka_unit_test_teardown(test_holds_survive_and_what_is_too_old_is_dropped, remove_file),
        cmocka_unit_test_teardown(
            test_what_nobody_can_take_comes_out_again_later_and_is_due_as_before, remove_file),
        cmocka_unit_test_teardown(test_what_is_due_comes_once_until_it_is_said_what_becomes_of_it,
                                  remove_file),
        cmocka_unit_test_teardown(test_what_is_in_hand_is_found_after_a_crash, remove_file),
        cmocka_unit_test_teardown(test_what_only_some_have_comes_back_too, remove_file),
        cmocka_unit_test_teardown(test_one_that_stays_an_ordinary_hold_is_forgotten, remove_file),
        cmocka_unit_test_teardown(test_a_release_makes_a_networks_holds_due, remove_file),
        cmocka_unit_test_teardown(test_who_is_behind_a_balancer_is_known_by_his_own_address,
                                  remove_file),
        cmocka_unit_test_teardown(test_a_damaged_chain_costs_its_own_hold_only, remove_file),
        cmocka_unit_test_teardown(test_no_damage_is_followed_out_of_the_file, remove_file),
        cmocka_unit_test_teardown(test_a_table_whose_file_is_cut_short_is_opened_anew, remove_file),
        cmocka_unit_test_teardown(test_it_agrees_with_a_plain_array, remove_file),
        cmocka_unit_test_teardown(test_what_is_expected_comes_and_goes_as_ever, remove_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
