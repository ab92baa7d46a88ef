/* The spool: what goes in comes out, from memory or file, and its octets are counted. */
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
#include <unistd.h>

#include <cmocka.h>

#include "relay/spool.h"

static char folder[] = "/tmp/test-spool-XXXXXX";
static _Atomic uint64_t used;
static uint64_t now = 1000;
static struct spool_room room = {.folder = folder, .used = &used, .max = 4 << 20, .now = &now};
static const struct sipkey key = {1, 2};

enum { WORKERS = 16, BLOCKS = SPOOL_MEMORY / BLOCK_SIZE / WORKERS };
enum { FAST_BLOCKS = 3 * BLOCKS }; /* beside these, where a test has them */

static int make_folder(void **state)
{
    return mkdtemp(folder) ? spool_room_open(&room, WORKERS, SPOOL_MEMORY) : -1;
}

static int remove_folder(void **state)
{
    spool_room_close(&room);
    return rmdir(folder); /* spool files have no names: it is empty */
}

/* Fills a spool with `size` octets in pieces and reads them back. */
static void round_trip(size_t size, size_t piece)
{
    char *text = malloc(size + 1);
    struct spool *s = spool_new(&room, &key);
    uint64_t at = 0;

    for (size_t i = 0; i < size; i++)
        text[i] = (char)(i * 7 + i / 256);
    for (size_t i = 0; i < size; i += piece)
        assert_int_equal(spool_add(s, (struct span){text + i, size - i < piece ? size - i : piece}),
                         0);
    assert_int_equal(spool_size(s), size);
    assert_true(atomic_load(&used) >= size);
    for (struct span got; (got = spool_read(s, at)).len; at += got.len)
        assert_memory_equal(got.at, text + at, got.len);
    assert_int_equal(at, size);
    spool_free(s);
    assert_int_equal(atomic_load(&used), 0);
    free(text);
}

static void test_messages_of_any_size_come_out_as_they_went_in(void **state)
{
    static const size_t sizes[] = {
        0, 1, 1000, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 256 * 1024, 3 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        round_trip(sizes[i], 65536);
        round_trip(sizes[i], 9973);
    }
}

static void fill(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(rand() >> 7);
}

static void check(struct spool *s, const char *text, size_t size)
{
    uint64_t at = 0;

    assert_int_equal(spool_size(s), size);
    for (struct span got; (got = spool_read(s, at)).len; at += got.len) {
        assert_non_null(got.at);
        assert_true(at + got.len <= size);
        assert_memory_equal(got.at, text + at, got.len);
    }
    assert_int_equal(at, size);
}

/* As a worker does it: receives into the places, adds what it received where it is, and now and
 * then octets from elsewhere. */
static void grow(struct spool *s, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct iovec place[4];
        size_t most = 1 + (size_t)rand() % (rand() % 4 ? 70000 : 300);
        most = most < size - at ? most : size - at;
        int places = rand() % 5 ? spool_place(s, place, 1 + rand() % 4, most) : 0;
        if (!places) {
            assert_int_equal(spool_add(s, (struct span){text + at, most}), 0);
            at += most;
        }
        for (int i = 0; i < places && rand() % 20; i++) { /* not all of them are filled */
            memcpy(place[i].iov_base, text + at, place[i].iov_len);
            assert_int_equal(spool_add(s, (struct span){place[i].iov_base, place[i].iov_len}), 0);
            at += place[i].iov_len;
        }
        if (rand() % 2)
            spool_fit(s);
    }
}

static void test_octets_that_are_received_in_their_place_stay_there(void **state)
{
    static char text[2 << 20];

    srand(19);
    for (int i = 0; i < 100; i++) {
        size_t size = (size_t)rand() % (i % 4 ? 100000 : sizeof text);
        struct spool *s = spool_new(&room, &key);
        fill(text, size);
        grow(s, text, size);
        check(s, text, size);
        spool_fit(s);
        check(s, text, size);
        spool_free(s);
        assert_int_equal(blocks_free(&room.blocks), BLOCKS);
    }
}

/* Messages of all sizes at once: they share the blocks and move to files when these are short, and each
 * comes out as it went in. */
static void test_messages_leave_blocks_to_each_other(void **state)
{
    enum { MESSAGES = 200, MOST = 200000 };
    static struct spool *s[MESSAGES];
    static char *text[MESSAGES];
    static size_t size[MESSAGES];
    unsigned files = 0, blocks = 0;
    uint64_t max = room.max;

    srand(20);
    room.max = UINT64_MAX;
    for (int i = 0; i < MESSAGES; i++) {
        s[i] = spool_new(&room, &key);
        text[i] = malloc(MOST);
        assert_true(s[i] && text[i]);
        fill(text[i], MOST);
    }
    for (int turn = 0; turn < MESSAGES * 20; turn++) {
        int i = rand() % MESSAGES;
        size_t more = (size_t)rand() % 20000;
        size_t most = i % 10 ? MOST : 10000;
        more = more < most - size[i] ? more : most - size[i];
        assert_int_equal(spool_add(s[i], (struct span){text[i] + size[i], more}), 0);
        size[i] += more;
    }
    assert_true(blocks_free(&room.blocks) <= BLOCKS);
    for (int i = 0; i < MESSAGES; i++) {
        uint64_t filed;
        bool in_file = spool_file(s[i], &filed) >= 0;
        assert_true(filed <= size[i]);
        files += in_file;
        blocks += !in_file && size[i] > 0;
        check(s[i], text[i], size[i]);
    }
    assert_true(files > 0 && blocks > 0);
    for (int i = 0; i < MESSAGES; i++) {
        spool_free(s[i]);
        free(text[i]);
    }
    room.max = max;
    assert_int_equal(blocks_free(&room.blocks), BLOCKS);
    assert_int_equal(atomic_load(&used), 0);
}

/* However many large messages come first, a small one has a block. */
static void test_large_messages_leave_room_for_small_ones(void **state)
{
    enum { LARGE = 30 };
    static char block[BLOCK_SIZE];
    struct spool *large[LARGE], *small = spool_new(&room, &key);
    uint64_t max = room.max;

    room.max = UINT64_MAX;
    for (int i = 0; i < LARGE; i++)
        large[i] = spool_new(&room, &key);
    for (int n = 0; n < 200; n++)
        for (int i = 0; i < LARGE; i++)
            assert_int_equal(spool_add(large[i], (struct span){block, sizeof block}), 0);
    assert_true(blocks_free(&room.blocks) >= BLOCKS / SPOOL_RESERVE - 1);
    assert_int_equal(spool_add(small, SPAN("small\r\n")), 0);
    uint64_t filed;
    assert_int_equal(spool_file(small, &filed), -1);
    assert_int_equal(filed, 0);
    for (int i = 0; i < LARGE; i++)
        spool_free(large[i]);
    spool_free(small);
    room.max = max;
}

static void test_blocks_that_are_not_needed_give_back_their_memory(void **state)
{
    struct blocks b;
    char *taken[8];

    assert_int_equal(blocks_open(&b, 8), 0);
    assert_int_equal(blocks_trim(&b), BLOCKS_NONE); /* none has memory */
    for (int i = 0; i < 8; i++)
        memset(taken[i] = blocks_take(&b), 'x', BLOCK_SIZE);
    assert_null(blocks_take(&b));
    for (int i = 0; i < 6; i++)
        blocks_give(&b, taken[i]);
    assert_int_equal(blocks_trim(&b), BLOCKS_LATER); /* all have been in use since the last time */
    assert_int_equal(b.n_warm, 6);
    char *last = blocks_take(&b);
    assert_ptr_equal(last, taken[5]); /* the one that was used last */
    assert_int_equal(last[0], 'x');
    blocks_give(&b, last);
    assert_int_equal(blocks_trim(&b), BLOCKS_LATER);
    assert_int_equal(b.n_warm, 1); /* the one that was needed */
    blocks_give(&b, taken[6]);
    blocks_give(&b, taken[7]);
    assert_int_equal(blocks_trim(&b), BLOCKS_LATER);
    assert_int_equal(blocks_trim(&b), BLOCKS_NONE);
    assert_int_equal(b.n_warm, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal((taken[i] = blocks_take(&b))[BLOCK_SIZE - 1], 0); /* new memory */
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < i; k++)
            assert_ptr_not_equal(taken[i], taken[k]);
    for (int i = 0; i < 8; i++)
        blocks_give(&b, taken[i]);
    blocks_close(&b);
}

/* A worker does other things between the calls that free many blocks. */
static void test_many_blocks_are_trimmed_in_turns(void **state)
{
    enum { MANY = 5 * BLOCKS_TRIM / 2 };
    struct blocks b;
    char *taken[MANY];

    assert_int_equal(blocks_open(&b, MANY), 0);
    for (int i = 0; i < MANY; i++)
        *(taken[i] = blocks_take(&b)) = 'x';
    for (int i = 0; i < MANY; i++)
        blocks_give(&b, taken[i]);
    assert_int_equal(blocks_trim(&b), BLOCKS_LATER);
    assert_int_equal(blocks_trim(&b), BLOCKS_SOON);
    assert_int_equal(b.n_warm, MANY - BLOCKS_TRIM);
    for (int i = 0; i < MANY - BLOCKS_TRIM - 10; i++) /* most of the others are needed again */
        taken[i] = blocks_take(&b);
    for (int i = 0; i < MANY - BLOCKS_TRIM - 10; i++)
        blocks_give(&b, taken[i]);
    assert_int_equal(blocks_trim(&b), BLOCKS_LATER);
    assert_int_equal(b.n_warm, MANY - BLOCKS_TRIM - 10);
    for (int i = 0; i < MANY - BLOCKS_TRIM - 10; i++) /* what has memory is taken first */
        assert_int_equal(*blocks_take(&b), 'x');
    blocks_close(&b);
}

/* ---- fast messages ---- */

static struct spool_room roomy = {.folder = folder, .used = &used, .max = UINT64_MAX, .now = &now};

static void open_roomy(void)
{
    assert_int_equal(spool_room_open(&roomy, WORKERS, (uint64_t)4 * SPOOL_MEMORY), 0);
    assert_int_equal(roomy.common, BLOCKS);
    assert_int_equal(roomy.blocks.max, BLOCKS + FAST_BLOCKS);
}

static void close_roomy(void)
{
    assert_int_equal(roomy.fast, 0);
    assert_int_equal(blocks_free(&roomy.blocks), BLOCKS + FAST_BLOCKS);
    assert_int_equal(atomic_load(&used), 0);
    spool_room_close(&roomy);
}

static char piece[BLOCK_SIZE];

/* Adds `blocks` blocks, of which one comes each `ms`. */
static void receive(struct spool *s, int blocks, uint64_t ms)
{
    for (int i = 0; i < blocks; i++) {
        now += ms;
        assert_int_equal(spool_add(s, (struct span){piece, sizeof piece}), 0);
    }
}

static bool is_in_file(const struct spool *s)
{
    uint64_t filed;

    return spool_file(s, &filed) >= 0;
}

static void test_a_fast_message_has_more_memory_than_a_slow_one(void **state)
{
    enum { LARGE = BLOCKS + BLOCKS / 4 };

    open_roomy();
    struct spool *fast = spool_new(&roomy, &key);
    receive(fast, LARGE, 10);
    assert_false(is_in_file(fast));
    struct spool *slow = spool_new(&roomy, &key);
    receive(slow, LARGE, 20);
    assert_true(is_in_file(slow));
    static char text[LARGE * BLOCK_SIZE];
    check(fast, text, sizeof text);
    check(slow, text, sizeof text);
    spool_free(fast);
    spool_free(slow);
    close_roomy();
}

enum { EACH = 12 };

static void receive_fast(struct spool *s[EACH])
{
    for (int i = 0; i < EACH; i++)
        s[i] = spool_new(&roomy, &key);
    for (int n = 0; n < 28; n++)
        for (int i = 0; i < EACH; i++)
            receive(s[i], 1, 0);
}

static void receive_slow(struct spool *s[EACH])
{
    for (int i = 0; i < EACH; i++)
        receive(s[i] = spool_new(&roomy, &key), 30, 20);
}

static uint32_t slow_blocks(void)
{
    return BLOCKS + FAST_BLOCKS - blocks_free(&roomy.blocks) - roomy.fast;
}

/* However many fast ones there are, slow and small messages have the memory that they have without
 * them, and the other way round. */
static void test_fast_and_slow_messages_take_no_memory_from_each_other(void **state)
{
    struct spool *fast[EACH], *slow[EACH];

    open_roomy();
    for (int fast_first = 0; fast_first < 2; fast_first++) {
        if (fast_first)
            receive_fast(fast);
        receive_slow(slow);
        if (!fast_first)
            receive_fast(fast);
        assert_true(slow_blocks() > BLOCKS / 2 && slow_blocks() <= BLOCKS);
        assert_true(roomy.fast > BLOCKS && roomy.fast <= FAST_BLOCKS);
        struct spool *small = spool_new(&roomy, &key);
        assert_int_equal(spool_add(small, SPAN("small\r\n")), 0);
        assert_false(is_in_file(small));
        spool_free(small);
        for (int i = 0; i < EACH; i++) {
            spool_free(fast[i]);
            spool_free(slow[i]);
        }
    }
    close_roomy();
}

static void set_file_limit(rlim_t octets)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A client that stops after a fast beginning does not keep the memory. */
static void test_a_message_that_is_no_longer_fast_moves_to_a_file(void **state)
{
    open_roomy();
    struct spool *s = spool_new(&roomy, &key), *small = spool_new(&roomy, &key);
    receive(s, BLOCKS, 0);
    receive(small, 1, 0);
    assert_int_equal(roomy.fast, BLOCKS);
    assert_int_equal(spool_settle(s), 0); /* still fast */
    now += spool_size(s) / SPOOL_FAST + 1;
    set_file_limit(100000); /* a full disk */
    assert_int_equal(spool_settle(s), 0);
    assert_false(is_in_file(s));
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(spool_settle(small), 0); /* it has common blocks only */
    assert_false(is_in_file(small));
    assert_int_equal(spool_settle(s), spool_size(s));
    assert_true(is_in_file(s));
    assert_int_equal(roomy.fast, 0);
    assert_int_equal(spool_settle(s), 0);
    receive(s, 50, 0); /* and from then on it is a large one like others */
    assert_int_equal(roomy.fast, 0);
    static char text[(BLOCKS + 50) * BLOCK_SIZE];
    check(s, text, sizeof text);
    spool_free(s);
    spool_free(small);
    close_roomy();
}

/* Links to several backends read in turn, at any places. The same place must have as many octets when
 * one of them comes back to it: a link with TLS has told OpenSSL how many it writes. */
static void test_what_is_read_at_a_place_does_not_depend_on_other_reads(void **state)
{
    static char text[2 << 20];
    struct spool *s = spool_new(&room, &key);
    uint64_t filed;

    srand(11);
    fill(text, sizeof text);
    for (size_t at = 0; at < sizeof text; at += sizeof text / 8)
        assert_int_equal(spool_add(s, (struct span){text + at, sizeof text / 8}), 0);
    assert_true(spool_file(s, &filed) >= 0 && filed > sizeof text / 2);
    for (int i = 0; i < 3000; i++) {
        uint64_t one = (uint64_t)rand() % sizeof text, other = one - (uint64_t)rand() % (one + 1);
        size_t len = spool_read(s, one).len;
        spool_read(s, i % 2 ? other : one - one % 7919);
        struct span again = spool_read(s, one);
        assert_int_equal(again.len, len);
        assert_memory_equal(again.at, text + one, len);
    }
    check(s, text, sizeof text);
    spool_free(s);
}

/* The disk is full when a write is due, and has room again for the next octets. What the first write
 * had done must not be in the message twice. */
static void test_a_write_that_failed_in_the_middle_is_made_again_from_its_beginning(void **state)
{
    static char text[3 << 20];
    struct spool *s = spool_new(&room, &key);
    size_t size = 0, refused = 0;

    srand(7);
    fill(text, sizeof text);
    while (size + BLOCK_SIZE <= sizeof text) {
        struct iovec place;
        uint64_t filed;
        if (spool_file(s, &filed) >= 0)
            set_file_limit((rlim_t)filed + 50000);
        int places = spool_place(s, &place, 1, 5000);
        refused += !places && is_in_file(s);
        set_file_limit(RLIM_INFINITY);
        size_t n = places ? place.iov_len : 5000;
        if (places)
            memcpy(place.iov_base, text + size, n);
        assert_int_equal(
            spool_add(s, (struct span){places ? (char *)place.iov_base : text + size, n}), 0);
        size += n;
    }
    assert_true(refused > 2);
    check(s, text, size);
    spool_free(s);
}

/* The master counts again when a worker has died, and may miss what another one adds at that moment. */
static void test_the_count_of_all_spools_never_falls_below_nothing(void **state)
{
    static char text[100000];
    struct spool *s = spool_new(&room, &key), *other = spool_new(&room, &key);

    assert_int_equal(spool_add(s, (struct span){text, sizeof text}), 0);
    assert_int_equal(room.octets, sizeof text);
    atomic_store(&used, 1000);
    spool_free(s);
    assert_int_equal(atomic_load(&used), 0);
    assert_int_equal(room.octets, 0);
    atomic_store(&used, room.max); /* what has no room is counted nowhere */
    assert_int_equal(spool_add(other, (struct span){text, sizeof text}), -EAGAIN);
    assert_int_equal(room.octets, 0);
    assert_int_equal(atomic_load(&used), room.max);
    atomic_store(&used, 0);
    assert_int_equal(spool_add(other, (struct span){text, sizeof text}), 0);
    assert_int_equal(room.octets, sizeof text);
    spool_free(other);
    assert_int_equal(atomic_load(&used), 0);
}

/* The worker counts the octets of a client's messages by their size. */
static void test_a_spool_without_a_file_fails_and_keeps_its_size(void **state)
{
    static char block[3 * BLOCK_SIZE];
    struct spool_room none = {
        .folder = "/proc/nonexistent", .used = &used, .max = UINT64_MAX, .now = &now};
    struct spool *s;
    uint64_t size = 0;
    int r = 0;

    assert_int_equal(spool_room_open(&none, WORKERS, SPOOL_MEMORY), 0);
    s = spool_new(&none, &key);
    while ((r = spool_add(s, (struct span){block, sizeof block - 1})) == 0)
        size = spool_size(s);
    assert_int_equal(r, -ENOENT);
    assert_true(size > 0 && spool_size(s) == size);
    spool_free(s);
    assert_int_equal(blocks_free(&none.blocks), BLOCKS);
    assert_int_equal(atomic_load(&used), 0);
    spool_room_close(&none);
}

static void test_all_spools_together_stay_below_their_limit(void **state)
{
    static char block[1 << 20];
    struct spool *a = spool_new(&room, &key), *b = spool_new(&room, &key),
                 *small = spool_new(&room, &key);
    int result = 0;

    for (int i = 0; i < 3; i++)
        assert_int_equal(spool_add(a, (struct span){block, sizeof block}), 0);
    for (int i = 0; i < 3 && result == 0; i++)
        result = spool_add(b, (struct span){block, sizeof block});
    assert_int_equal(result, -EAGAIN);
    assert_int_equal(atomic_load(&used), spool_size(a) + spool_size(b));
    assert_int_equal(spool_add(small, (struct span){block, SPOOL_SMALL / 2}), 0);
    spool_free(a); /* now there is room */
    assert_int_equal(spool_add(b, (struct span){block, sizeof block}), 0);
    spool_free(b);
    spool_free(small);
    assert_int_equal(atomic_load(&used), 0);
}

static void test_the_hash_is_of_the_octets_and_not_of_their_pieces(void **state)
{
    struct spool *a = spool_new(&room, &key), *b = spool_new(&room, &key),
                 *c = spool_new(&room, &key);

    spool_add(a, SPAN("one two three"));
    spool_add(b, SPAN("one "));
    spool_add(b, SPAN("two three"));
    spool_add(c, SPAN("one two thre3"));
    struct spool_identity of_a, of_b, of_c;
    spool_identify(a, &of_a);
    spool_identify(b, &of_b);
    spool_identify(c, &of_c);
    assert_true(of_a.hash == of_b.hash);
    assert_false(of_a.hash == of_c.hash);
    assert_true(of_a.signatures == 0 && !of_a.named);
    spool_free(a);
    spool_free(b);
    spool_free(c);
}

static void test_received_lines_of_the_header_are_counted(void **state)
{
    struct spool *s = spool_new(&room, &key);

    spool_add(
        s,
        SPAN("Received: one\r\n folded\r\nreceIVED: two\r\nSubject: x\r\n\r\nReceived: body\r\n"));
    assert_int_equal(spool_received(s), 2);
    spool_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_any_size_come_out_as_they_went_in),
        cmocka_unit_test(test_octets_that_are_received_in_their_place_stay_there),
        cmocka_unit_test(test_messages_leave_blocks_to_each_other),
        cmocka_unit_test(test_large_messages_leave_room_for_small_ones),
        cmocka_unit_test(test_blocks_that_are_not_needed_give_back_their_memory),
        cmocka_unit_test(test_many_blocks_are_trimmed_in_turns),
        cmocka_unit_test(test_a_fast_message_has_more_memory_than_a_slow_one),
        cmocka_unit_test(test_fast_and_slow_messages_take_no_memory_from_each_other),
        cmocka_unit_test(test_a_message_that_is_no_longer_fast_moves_to_a_file),
        cmocka_unit_test(test_what_is_read_at_a_place_does_not_depend_on_other_reads),
        cmocka_unit_test(test_a_write_that_failed_in_the_middle_is_made_again_from_its_beginning),
        cmocka_unit_test(test_a_spool_without_a_file_fails_and_keeps_its_size),
        cmocka_unit_test(test_all_spools_together_stay_below_their_limit),
        cmocka_unit_test(test_the_count_of_all_spools_never_falls_below_nothing),
        cmocka_unit_test(test_the_hash_is_of_the_octets_and_not_of_their_pieces),
        cmocka_unit_test(test_received_lines_of_the_header_are_counted),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
