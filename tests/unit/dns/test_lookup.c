/* Look-ups of clients, with a resolver played by a socket of the test: it decides what is answered,
 * in which order, and what never is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sockaddr.h"
#include "dns/health.h"
#include "dns/lookup.h"
#include "dns/shares.h"

enum { QUESTIONS = 1024 };

/* A query that has come to the resolver, and who asked. */
struct asked {
    uint8_t octets[512];
    size_t len;
    struct sockaddr_storage from;
    socklen_t from_len;
    char name[256]; /* "2.0.0.127.bl.test" */
    uint16_t type;
};

static struct test {
    struct loop loop;
    struct lookups *lookups;
    int resolver;
    struct asked asked[QUESTIONS];
    size_t count;
    unsigned told;
    struct dns_finding last;
    void *owner;
} t;

static bool client_names; /* are wanted by what is opened next */

static const struct lookup_list blocked[] = {{"bl.test", {0}, true}, {"bl2.test", {0}, true}},
                                allowed[] = {{"wl.test", {0}, true}};
static const char *const names[] = {".example.test"};

static void found(void *arg, void *owner, const struct addr *client, const struct dns_finding *f)
{
    t.told++;
    t.last = *f;
    t.owner = owner;
}

static void open_with(size_t blocked_count, size_t allowed_count, size_t name_count)
{
    struct addr server;
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    memset(&t, 0, sizeof t);
    assert_int_equal(loop_open(&t.loop), 0);
    t.resolver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(addr_parse(SPAN("127.0.0.1"), &server));
    len = addr_to_sockaddr(&server, &sa);
    assert_int_equal(bind(t.resolver, (struct sockaddr *)&sa, len), 0);
    len = sizeof sa;
    assert_int_equal(getsockname(t.resolver, (struct sockaddr *)&sa, &len), 0);
    server = addr_from_sockaddr((struct sockaddr *)&sa, len);
    struct lookup_params params = {.loop = &t.loop,
                                   .blocked = blocked,
                                   .blocked_count = blocked_count,
                                   .allowed = allowed,
                                   .allowed_count = allowed_count,
                                   .name = names,
                                   .name_count = name_count,
                                   .client_names = client_names,
                                   .server = &server,
                                   .server_count = 1,
                                   .found = found};
    assert_int_equal(lookups_open(&t.lookups, &params), 0);
}

static void close_all(void)
{
    lookups_close(t.lookups);
    loop_close(&t.loop);
    if (t.resolver >= 0)
        close(t.resolver);
}

static struct addr client(uint32_t n)
{
    return (struct addr){.octets = {198, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n},
                         .family = ADDR_IP4};
}

static void read_name(struct asked *q)
{
    size_t at = 12, n = 0;

    while (q->octets[at]) {
        memcpy(q->name + n, q->octets + at + 1, q->octets[at]);
        n += q->octets[at];
        at += 1 + (size_t)q->octets[at];
        q->name[n++] = '.';
    }
    q->name[n ? n - 1 : 0] = '\0';
    q->type = q->octets[at + 2];
}

/* Takes what has been asked until there are `count` queries. */
static void hear(size_t count)
{
    while (t.count < count) {
        struct asked *q = &t.asked[t.count];
        q->from_len = sizeof q->from;
        ssize_t n = recvfrom(t.resolver, q->octets, sizeof q->octets, 0,
                             (struct sockaddr *)&q->from, &q->from_len);
        if (n < 0) {
            loop_turn(&t.loop, 1);
            continue;
        }
        q->len = (size_t)n;
        read_name(q);
        t.count++;
    }
}

static struct asked *query(const char *end, uint16_t type)
{
    for (size_t i = 0; i < t.count; i++)
        if (t.asked[i].type == type && strstr(t.asked[i].name, end))
            return &t.asked[i];
    fail_msg("nobody asked about %s", end);
    return NULL;
}

/* Takes what has been asked so far, and forgets it. */
static void discard(void)
{
    char octets[512];

    for (int i = 0; i < 3; i++) {
        loop_turn(&t.loop, 1);
        while (recv(t.resolver, octets, sizeof octets, 0) > 0)
            continue;
    }
    t.count = 0;
}

/* The query, which comes among others that nobody answers. */
static struct asked *wait_for(const char *end, uint16_t type)
{
    for (size_t i = 0;; i++) {
        if (i == t.count) {
            if (t.count == QUESTIONS)
                i = t.count = 0;
            hear(t.count + 1);
        }
        if (t.asked[i].type == type && strcmp(t.asked[i].name, end) == 0)
            return &t.asked[i];
    }
}

enum { NO_ERROR, SERVER_FAILURE = 2, NO_SUCH_NAME };

/* Answers with one record for the query's name, or with an error when there is no data. */
static void respond(const struct asked *q, uint8_t error, const void *data, size_t len)
{
    uint8_t out[1024], *at = out + q->len;

    memcpy(out, q->octets, q->len);
    out[2] = 0x81;
    out[3] = 0x80 | error;
    if (data) {
        const uint8_t record[] = {0xc0, 12, 0, (uint8_t)q->type, 0, 1, 0, 0, 1, 0, 0, (uint8_t)len};
        out[7] = 1;
        memcpy(at, record, sizeof record);
        memcpy(at + sizeof record, data, len);
        at += sizeof record + len;
    }
    sendto(t.resolver, out, (size_t)(at - out), 0, (const struct sockaddr *)&q->from, q->from_len);
    for (int i = 0; i < 5; i++)
        loop_turn(&t.loop, 2);
}

static void answer(const struct asked *q, const void *data, size_t len)
{
    respond(q, data ? NO_ERROR : NO_SUCH_NAME, data, len);
}

static void yes(const char *end)
{
    answer(query(end, 1), (const uint8_t[]){127, 0, 0, 2}, 4);
}

static bool known(const struct addr *a, struct dns_finding *f)
{
    bool fresh;
    return lookups_known(t.lookups, a, f, &fresh) && fresh;
}

static void test_a_listing_is_told_at_once_when_nobody_could_say_otherwise(void **state)
{
    struct addr a = client(1);
    struct dns_finding f;
    int owner;

    open_with(2, 0, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, &owner));
    hear(2);
    yes(".bl.test");
    assert_int_equal(t.told, 1);
    assert_int_equal(t.last.listed, 1);
    assert_ptr_equal(t.owner, &owner);
    assert_false(known(&a, &f));
    yes(".bl2.test");
    assert_int_equal(t.told, 2);
    assert_true(known(&a, &f));
    assert_int_equal(f.listed, 3);
    close_all();
}

static void test_a_listing_waits_for_who_could_say_the_client_is_good(void **state)
{
    struct addr a = client(2);

    open_with(1, 1, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    hear(2);
    yes(".bl.test");
    assert_int_equal(t.told, 0);
    yes(".wl.test");
    assert_int_equal(t.told, 1);
    assert_int_equal(t.last.trust, DNS_TRUST_LIST);
    close_all();
}

static void test_trust_is_told_and_known_before_all_is_answered(void **state)
{
    struct addr a = client(3);
    struct dns_finding f;

    open_with(1, 1, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    hear(2);
    yes(".wl.test");
    assert_int_equal(t.told, 1);
    assert_true(known(&a, &f) && f.trust == DNS_TRUST_LIST);
    yes(".bl.test");
    assert_int_equal(t.told, 1);
    close_all();
}

static void test_a_name_is_asked_for_its_address_and_believed_when_it_is_the_clients(void **state)
{
    static const uint8_t pointer[] = "\2mx\7example\4test", stranger[] = "\2mx\5other\4test";
    struct addr a = client(4), b = client(5), c = client(6);

    open_with(0, 0, 1);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    hear(1);
    answer(query("4.0.0.198.in-addr.arpa", 12), pointer, sizeof pointer);
    hear(2);
    answer(query("mx.example.test", 1), a.octets, 4);
    assert_int_equal(t.told, 1);
    assert_int_equal(t.last.trust, DNS_TRUST_NAME);

    assert_true(lookups_start(t.lookups, &b, LOOKUP_TRUST, NULL));
    hear(3);
    answer(&t.asked[2], pointer, sizeof pointer);
    hear(4);
    answer(&t.asked[3], a.octets, 4);
    assert_int_equal(t.told, 1);

    assert_true(lookups_start(t.lookups, &c, LOOKUP_TRUST, NULL));
    hear(5);
    answer(&t.asked[4], stranger, sizeof stranger);
    struct dns_finding f;
    assert_true(known(&c, &f) && f.trust == DNS_TRUST_NONE);
    close_all();
}

static void test_there_is_one_look_up_a_client_and_no_more_than_there_is_room_for(void **state)
{
    struct addr six = {.octets = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 9}, .family = ADDR_IP6},
                near = six;

    open_with(1, 0, 0);
    near.octets[15] = 7; /* of the same /64 */
    assert_true(lookups_start(t.lookups, &six, LOOKUP_TRUST, NULL));
    assert_false(lookups_start(t.lookups, &six, LOOKUP_TRUST, NULL));
    assert_false(lookups_start(t.lookups, &near, LOOKUP_TRUST, NULL));
    for (uint32_t n = 1; n < LOOKUP_OPEN_MAX * SHARES_BEYOND; n++) {
        struct addr a = client(n << 8); /* each of a network of its own */
        assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    }
    struct addr late = client(9999 << 8);
    assert_false(lookups_start(t.lookups, &late, LOOKUP_TRUST, NULL));
    hear(1);
    answer(&t.asked[0], NULL, 0);
    assert_true(lookups_start(t.lookups, &late, LOOKUP_TRUST, NULL));
    close_all();
    assert_int_equal(t.told, 0);
}

/* Field notes G6: a network whose reverse zone is silent comes as often as it likes. */
static void test_silent_reverse_zones_starve_neither_lists_nor_others_names(void **state)
{
    static const uint8_t pointer[] = "\2mx\7example\4test";
    struct addr exempt = client(7 << 16 | 9), listed = client(8 << 16 | 9);
    struct dns_finding f;

    open_with(1, 0, 1);
    for (uint32_t network = 0; network < 40; network++) { /* none of which is answered */
        for (uint32_t n = 0; n < 250; n++) {
            struct addr a = client(network << 8 | n);
            (void)lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL);
        }
        discard();
    }
    assert_true(lookups_start(t.lookups, &listed, LOOKUP_TRUST, NULL));
    assert_true(lookups_start(t.lookups, &exempt, LOOKUP_TRUST, NULL));
    answer(wait_for("9.0.8.198.bl.test", 1), (const uint8_t[]){127, 0, 0, 2}, 4);
    answer(wait_for("9.0.8.198.in-addr.arpa", 12), NULL, 0);
    assert_true(known(&listed, &f) && f.listed == 1);
    answer(wait_for("9.0.7.198.bl.test", 1), NULL, 0);
    answer(wait_for("9.0.7.198.in-addr.arpa", 12), pointer, sizeof pointer);
    answer(wait_for("mx.example.test", 1), exempt.octets, 4);
    assert_true(known(&exempt, &f) && f.trust == DNS_TRUST_NAME);
    close_all();
}

/* Field notes 12: what a server behind is told. */
static void test_a_clients_names_are_found_out(void **state)
{
    static const uint8_t pointer[] = "\2mx\7example\4test", bad[] = "\3-mx\7example\4test";
    static const struct {
        const uint8_t *pointer;
        size_t len;     /* 0: no such name */
        uint8_t error;  /* instead of an answer to the second query */
        bool confirmed; /* or not, by another address */
        enum name_state name, reverse;
    } row[] = {
        {pointer, sizeof pointer, NO_ERROR, true, NAME_IS, NAME_IS},
        {pointer, sizeof pointer, NO_ERROR, false, NAME_NONE, NAME_IS},
        {pointer, sizeof pointer, NO_SUCH_NAME, false, NAME_NONE, NAME_IS},
        {pointer, sizeof pointer, SERVER_FAILURE, false, NAME_LATER, NAME_IS},
        {bad, sizeof bad, NO_ERROR, true, NAME_NONE, NAME_NONE},
        {NULL, 0, NO_ERROR, false, NAME_NONE, NAME_NONE},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct addr a = client(4), other = client(5);
        struct client_names n;
        bool open;

        client_names = true;
        open_with(0, 0, 0);
        assert_false(lookups_names(t.lookups, &a, &n, &open) || open);
        assert_true(lookups_start(t.lookups, &a, LOOKUP_CLIENT_NAMES, NULL));
        assert_false(lookups_names(t.lookups, &a, &n, &open));
        assert_true(open);
        assert_int_equal(n.confirmed, NAME_LATER);
        answer(wait_for("4.0.0.198.in-addr.arpa", 12), row[i].pointer, row[i].len);
        if (row[i].pointer == pointer) {
            assert_false(lookups_names(t.lookups, &a, &n, &open));
            assert_true(open);
            struct asked *q = wait_for("mx.example.test", 1);
            if (row[i].error)
                respond(q, row[i].error, NULL, 0);
            else
                answer(q, row[i].confirmed ? a.octets : other.octets, 4);
        }
        assert_true(lookups_names(t.lookups, &a, &n, &open));
        assert_false(open);
        assert_int_equal(n.confirmed, row[i].name);
        assert_int_equal(n.reverse, row[i].reverse);
        if (n.reverse == NAME_IS)
            assert_string_equal(n.text, "mx.example.test");
        assert_int_equal(t.told, 0);
        close_all();
    }
    client_names = false;
}

/* Names that are asked for a submission do not keep the same client from being looked up in lists.
 */
static void test_lists_are_asked_beside_names_that_are_open(void **state)
{
    struct addr a = client(4);
    struct dns_finding f;

    client_names = true;
    open_with(1, 0, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_CLIENT_NAMES, NULL));
    struct asked *pointer = wait_for("4.0.0.198.in-addr.arpa", 12);
    assert_false(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    answer(wait_for("4.0.0.198.bl.test", 1), (const uint8_t[]){127, 0, 0, 2}, 4);
    answer(pointer, NULL, 0);
    assert_int_equal(t.last.listed, 1);
    assert_true(known(&a, &f) && f.listed == 1);
    close_all();
    client_names = false;
}

/* Nor does what is found out about names alone say that no list has it. */
static void test_names_alone_are_not_remembered_as_a_finding(void **state)
{
    struct addr a = client(4);
    struct dns_finding f;

    client_names = true;
    open_with(1, 0, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_CLIENT_NAMES, NULL));
    answer(wait_for("4.0.0.198.in-addr.arpa", 12), NULL, 0);
    assert_false(known(&a, &f));
    close_all();
    client_names = false;
}

static void test_who_is_gone_is_not_told(void **state)
{
    struct addr a = client(7);
    int owner, other;

    open_with(1, 0, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, &owner));
    lookups_disown(t.lookups, &a, &other);
    lookups_disown(t.lookups, &a, &owner);
    hear(1);
    yes(".bl.test");
    assert_int_equal(t.told, 1);
    assert_null(t.owner);
    close_all();
}

/* Turns the loop until the resolver is asked for the root, which is nobody's query. */
static struct asked *probe(void)
{
    for (;;) {
        hear(t.count + 1);
        if (t.asked[t.count - 1].type == 2)
            return &t.asked[t.count - 1];
    }
}

static void test_without_a_resolver_nothing_is_asked_until_it_is_back(void **state)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    open_with(1, 0, 0);
    assert_int_equal(getsockname(t.resolver, (struct sockaddr *)&sa, &len), 0);
    close(t.resolver); /* so that queries are refused at once */
    for (uint32_t n = 0; n < HEALTH_MISSES; n++) {
        struct addr a = client(100 + n);
        struct dns_finding f;
        assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
        for (int i = 0; i < 5; i++)
            loop_turn(&t.loop, 2);
        assert_false(known(&a, &f)); /* no answer is not an answer */
    }
    struct addr a = client(1);
    assert_false(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    t.resolver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(t.resolver, (struct sockaddr *)&sa, len), 0);
    answer(probe(), NULL, 0);
    assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    close_all();
}

/* Clients control their own zones and can make them time out at each visit. */
static void test_silent_names_do_not_make_the_resolver_one_that_is_down(void **state)
{
    open_with(0, 0, 1);
    for (uint32_t n = 0; n < 2 * HEALTH_MISSES; n++) {
        struct addr a = client(n);
        assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
    }
    answer(probe(), NULL, 0);
    struct addr other = client(9999);
    assert_true(lookups_start(t.lookups, &other, LOOKUP_TRUST, NULL));
    close_all();
}

static void test_a_list_that_fails_says_nothing_and_leaves_the_others_their_say(void **state)
{
    open_with(2, 0, 0);
    for (uint32_t n = 0; n < 2 * LOOKUP_SILENT_AFTER; n++) {
        struct addr a = client(n);
        struct dns_finding f;
        t.count = 0;
        assert_true(lookups_start(t.lookups, &a, LOOKUP_TRUST, NULL));
        hear(2);
        respond(query(".bl.test", 1), SERVER_FAILURE, NULL, 0);
        assert_false(known(&a, &f));
        yes(".bl2.test");
        assert_true(known(&a, &f) && f.listed == 2);
    }
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_listing_is_told_at_once_when_nobody_could_say_otherwise),
        cmocka_unit_test(test_a_listing_waits_for_who_could_say_the_client_is_good),
        cmocka_unit_test(test_trust_is_told_and_known_before_all_is_answered),
        cmocka_unit_test(test_a_name_is_asked_for_its_address_and_believed_when_it_is_the_clients),
        cmocka_unit_test(test_there_is_one_look_up_a_client_and_no_more_than_there_is_room_for),
        cmocka_unit_test(test_silent_reverse_zones_starve_neither_lists_nor_others_names),
        cmocka_unit_test(test_a_clients_names_are_found_out),
        cmocka_unit_test(test_lists_are_asked_beside_names_that_are_open),
        cmocka_unit_test(test_names_alone_are_not_remembered_as_a_finding),
        cmocka_unit_test(test_who_is_gone_is_not_told),
        cmocka_unit_test(test_without_a_resolver_nothing_is_asked_until_it_is_back),
        cmocka_unit_test(test_a_list_that_fails_says_nothing_and_leaves_the_others_their_say),
        cmocka_unit_test(test_silent_names_do_not_make_the_resolver_one_that_is_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
