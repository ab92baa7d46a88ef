/* Redis' replies, as Redis writes them and as it should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "fleet/replies.h"

static redisReply *parse(const char *text)
{
    redisReader *reader = replies_reader();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    int r = redisReaderGetReply(reader, &reply);
    redisReaderFree(reader);
    return r == REDIS_OK ? reply : NULL;
}

/* The values that the cluster's specification gives, and redis-cli's CLUSTER KEYSLOT. */
static void test_slots_are_those_of_a_cluster(void **state)
{
    assert_int_equal(redis_slot(SPAN("123456789")), 0x31c3 % REDIS_SLOTS);
    assert_int_equal(redis_slot(SPAN("foo")), 12182);
    assert_int_equal(redis_slot(SPAN("mx:{mx}:stream")), redis_slot(SPAN("mx:{mx}:key")));
    assert_int_equal(redis_slot(SPAN("mx:{mx}:key")), redis_slot(SPAN("mx")));
    assert_int_not_equal(redis_slot(SPAN("a{}b")), redis_slot(SPAN("")));
}

static void test_moved_and_ask_say_where_to(void **state)
{
    struct reply_place at;
    redisReply *r = parse("-MOVED 3999 127.0.0.1:6381\r\n");

    assert_true(reply_moved(r, &at) && at.slot == 3999 && at.port == 6381 && !at.ask);
    assert_string_equal(at.host, "127.0.0.1");
    freeReplyObject(r);
    r = parse("-ASK 16383 2001:db8::1:7000\r\n");
    assert_true(reply_moved(r, &at) && at.ask && at.port == 7000);
    assert_string_equal(at.host, "2001:db8::1");
    freeReplyObject(r);
    const char *wrong[] = {"-MOVED 16384 a:1\r\n", "-MOVED 1 a:70000\r\n", "-MOVED 1\r\n",
                           "-MOVED\r\n",           "-MOVED x a:1\r\n",     "+MOVED 1 a:1\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        r = parse(wrong[i]);
        assert_false(reply_moved(r, &at));
        freeReplyObject(r);
    }
}

static void test_errors_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum reply_error error;
    } table[] = {
        {"-READONLY You can't write against a read only replica.\r\n", REPLY_READ_ONLY},
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", REPLY_FULL},
        {"-LOADING Redis is loading the dataset in memory\r\n", REPLY_BUSY},
        {"-NOPERM this user has no permissions\r\n", REPLY_FORBIDDEN},
        {"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", REPLY_TYPE},
        {"-ERR unknown command\r\n", REPLY_OTHER},
        {"+OK\r\n", REPLY_FINE},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        redisReply *r = parse(table[i].text);
        assert_int_equal(reply_error(r), table[i].error);
        freeReplyObject(r);
    }
}

static void test_an_array_of_a_billion_is_an_error_and_no_memory(void **state)
{
    assert_null(parse("*1000000000\r\n"));
    assert_null(parse("*1048577\r\n:1\r\n"));
}

static void count(void *arg, const struct stream_entry *e)
{
    unsigned *n = arg;
    *n += e->member.len == 3 && e->shares.len == 2 && e->sent_ms == 7 && e->id.n == 1;
}

static void test_an_entry_of_the_stream_is_read_in_any_order_of_its_fields(void **state)
{
    redisReply *r = parse("*1\r\n*2\r\n$1\r\ns\r\n*2\r\n"
                          "*2\r\n$3\r\n5-1\r\n*6\r\n$1\r\ns\r\n$2\r\nxy\r\n$1\r\nm\r\n$3\r\nmx1\r\n"
                          "$1\r\nt\r\n$1\r\n7\r\n"
                          "*2\r\n$1\r\n5\r\n*0\r\n");
    unsigned n = 0;

    assert_int_equal(reply_entries(r, true, count, &n), 1); /* the other has no id */
    assert_int_equal(n, 1);
    freeReplyObject(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_are_those_of_a_cluster),
        cmocka_unit_test(test_moved_and_ask_say_where_to),
        cmocka_unit_test(test_errors_are_told_apart),
        cmocka_unit_test(test_an_array_of_a_billion_is_an_error_and_no_memory),
        cmocka_unit_test(test_an_entry_of_the_stream_is_read_in_any_order_of_its_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
