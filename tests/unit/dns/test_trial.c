/* Test entries of lists (RFC 5782 section 5; field notes 9): what they come to, and what it does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sockaddr.h"
#include "dns/lookup.h"

#define NOT TRIAL_NOTHING
#define NO  TRIAL_NO
#define YES TRIAL_YES
#define REF TRIAL_REFUSED

static void test_what_the_four_entries_come_to(void **state)
{
    static const struct {
        enum trial_answer answer[TRIAL_ENTRIES]; /* .2, .1, six .2, six .1 */
        enum list_state before, now;
    } row[] = {
        {{YES, NO, YES, NO}, LIST_UNTRIED, LIST_SOUND},
        {{YES, NO, NO, NO}, LIST_UNTRIED, LIST_SOUND}, /* of IPv4 addresses only */
        {{YES, NO, NOT, NOT}, LIST_UNTRIED, LIST_SOUND},
        {{YES, YES, NO, NO}, LIST_SOUND, LIST_WORLD}, /* a wildcard */
        {{YES, YES, YES, YES}, LIST_SOUND, LIST_WORLD},
        {{YES, NO, YES, YES}, LIST_SOUND, LIST_WORLD}, /* for IPv6 */
        {{NOT, YES, NOT, NOT}, LIST_UNTRIED, LIST_WORLD},
        {{NO, NO, NO, NO}, LIST_SOUND, LIST_DEAD}, /* given up */
        {{NO, NOT, NOT, NOT}, LIST_SOUND, LIST_DEAD},
        {{REF, REF, REF, REF}, LIST_SOUND, LIST_REFUSES},
        {{REF, NO, NO, NO}, LIST_UNTRIED, LIST_REFUSES},
        {{NOT, NOT, NOT, NOT}, LIST_UNTRIED, LIST_UNTRIED}, /* no news */
        {{NOT, NOT, NOT, NOT}, LIST_SOUND, LIST_SOUND},
        {{NOT, NO, NO, NO}, LIST_WORLD, LIST_WORLD},
        {{YES, NOT, YES, NOT}, LIST_WORLD, LIST_WORLD},
        {{YES, NO, YES, NO}, LIST_WORLD, LIST_SOUND}, /* mended */
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (trial_judge(row[i].answer, row[i].before) != row[i].now)
            fail_msg("row %zu: %s", i, list_state_name(trial_judge(row[i].answer, row[i].before)));
    assert_true(list_counts(LIST_UNTRIED) && list_counts(LIST_SOUND));
    assert_false(list_counts(LIST_WORLD) || list_counts(LIST_DEAD) || list_counts(LIST_REFUSES));
    (void)state;
}

/* ---- in look-ups, with a resolver played by the test ---- */

enum behaviour { GOOD, WILDCARD, GONE, ADS /* "no such name" is an address of the web */, REFUSES };

static struct test {
    struct loop loop;
    struct lookups *lookups;
    int resolver;
    enum behaviour blocked, allowed; /* what the lists are */
    unsigned told, trials;
    struct dns_finding last;
    enum list_state state[2];
} t;

static void found(void *arg, void *owner, const struct addr *client, const struct dns_finding *f)
{
    t.told++;
    t.last = *f;
}

static void tried(void *arg, const char *zone, enum list_state now)
{
    t.trials++;
    t.state[strcmp(zone, "wl.test") == 0] = now;
}

static void open_with(enum behaviour blocked, enum behaviour allowed)
{
    static const struct lookup_list bl[] = {{.zone = "bl.test"}}, wl[] = {{.zone = "wl.test"}};
    struct sockaddr_storage sa;
    struct addr server;
    socklen_t len;

    memset(&t, 0, sizeof t);
    t.blocked = blocked;
    t.allowed = allowed;
    assert_int_equal(loop_open(&t.loop), 0);
    t.resolver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(addr_parse(SPAN("127.0.0.1"), &server));
    len = addr_to_sockaddr(&server, &sa);
    assert_int_equal(bind(t.resolver, (struct sockaddr *)&sa, len), 0);
    len = sizeof sa;
    assert_int_equal(getsockname(t.resolver, (struct sockaddr *)&sa, &len), 0);
    server = addr_from_sockaddr((struct sockaddr *)&sa, len);
    struct lookup_params params = {.loop = &t.loop,
                                   .blocked = bl,
                                   .blocked_count = 1,
                                   .allowed = wl,
                                   .allowed_count = 1,
                                   .server = &server,
                                   .server_count = 1,
                                   .found = found,
                                   .tried = tried};
    assert_int_equal(lookups_open(&t.lookups, &params), 0);
}

static void close_all(void)
{
    lookups_close(t.lookups);
    loop_close(&t.loop);
    close(t.resolver);
}

/* What a list of that behaviour answers about a name: an address, or NULL. `listed`: it has it. */
static const uint8_t *said(enum behaviour b, bool listed)
{
    static const uint8_t yes[] = {127, 0, 0, 2}, ad[] = {192, 0, 2, 80},
                         refused[] = {127, 255, 255, 254};
    switch (b) {
    case GOOD: return listed ? yes : NULL;
    case WILDCARD: return yes;
    case GONE: return NULL;
    case ADS: return listed ? yes : ad;
    case REFUSES: return refused;
    }
    return NULL;
}

/* Answers all that has been asked. The lists have 127.0.0.2, ::ffff:127.0.0.2 and 198.51.100.7. */
static void serve(void)
{
    for (int quiet = 0; quiet < 5;) {
        uint8_t q[512], *end;
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        char name[256] = "";
        size_t at = 12, n = 0;
        ssize_t len = recvfrom(t.resolver, q, sizeof q, 0, (struct sockaddr *)&from, &from_len);

        if (len < 0) {
            loop_turn(&t.loop, 2);
            quiet++;
            continue;
        }
        quiet = 0;
        while (q[at]) {
            memcpy(name + n, q + at + 1, q[at]);
            n += q[at];
            at += 1 + (size_t)q[at];
            name[n++] = '.';
        }
        bool listed = strncmp(name, "2.0.0.127.", 10) == 0 ||
                      strncmp(name, "2.0.0.0.0.0.f.7.", 16) == 0 ||
                      strncmp(name, "7.100.51.198.", 13) == 0;
        const uint8_t *ip = said(strstr(name, "wl.test") ? t.allowed : t.blocked, listed);
        uint8_t out[1024];
        const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4};
        memcpy(out, q, (size_t)len);
        out[2] = 0x81;
        out[3] = ip ? 0x80 : 0x83;
        end = out + len;
        if (ip) {
            out[7] = 1;
            memcpy(end, record, sizeof record);
            memcpy(end + sizeof record, ip, 4);
            end += sizeof record + 4;
        }
        sendto(t.resolver, out, (size_t)(end - out), 0, (struct sockaddr *)&from, from_len);
        loop_turn(&t.loop, 2);
    }
}

/* A client that both lists have, and one that neither has, before the test is over and after it. */
static void test_a_list_that_does_not_pass_counts_for_nothing(void **state)
{
    static const struct {
        enum behaviour blocked, allowed;
        enum list_state blocked_is, allowed_is;
        unsigned listed_told; /* times, of the client that is on both lists */
    } row[] = {
        {GOOD, GOOD, LIST_SOUND, LIST_SOUND, 1},
        {WILDCARD, GONE, LIST_WORLD, LIST_DEAD, 0},
        {GONE, WILDCARD, LIST_DEAD, LIST_WORLD, 0},
        {ADS, GONE, LIST_WORLD, LIST_DEAD, 0},
        {GOOD, WILDCARD, LIST_SOUND, LIST_WORLD, 1},
        {WILDCARD, WILDCARD, LIST_WORLD, LIST_WORLD, 0},
        {REFUSES, GONE, LIST_REFUSES, LIST_DEAD, 0},
    };
    struct addr both = {.octets = {198, 51, 100, 7}, .family = ADDR_IP4};
    struct addr innocent = {.octets = {203, 0, 113, 5}, .family = ADDR_IP4};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (int early = 0; early < 2; early++) {
            struct dns_finding f = {0};
            bool fresh;
            open_with(row[i].blocked, row[i].allowed);
            if (!early)
                serve();
            assert_true(lookups_start(t.lookups, &innocent, LOOKUP_TRUST, NULL));
            serve();
            assert_int_equal(t.state[0], row[i].blocked_is);
            assert_int_equal(t.state[1], row[i].allowed_is);
            assert_int_equal(t.told, 0);
            assert_true(lookups_known(t.lookups, &innocent, &f, &fresh));
            assert_int_equal(f.listed, 0);
            assert_int_equal(f.trust, DNS_TRUST_NONE);
            assert_true(lookups_start(t.lookups, &both, LOOKUP_TRUST, NULL));
            serve();
            assert_int_equal(t.told, row[i].listed_told);
            close_all();
        }
    (void)state;
}

/* What was remembered while a list was sound is nothing while it is not. */
static void test_a_list_that_goes_bad_takes_its_findings_with_it(void **state)
{
    struct addr both = {.octets = {198, 51, 100, 7}, .family = ADDR_IP4};
    struct dns_finding f;
    bool fresh;

    open_with(GOOD, GONE);
    serve();
    assert_true(lookups_start(t.lookups, &both, LOOKUP_TRUST, NULL));
    serve();
    assert_true(lookups_known(t.lookups, &both, &f, &fresh) && f.listed == 1);
    t.blocked = WILDCARD;
    trial_begin_again(lookups_trial(t.lookups));
    serve();
    assert_int_equal(t.state[0], LIST_WORLD);
    assert_true(lookups_known(t.lookups, &both, &f, &fresh) && f.listed == 0);
    t.blocked = GOOD;
    trial_begin_again(lookups_trial(t.lookups));
    serve();
    assert_true(lookups_known(t.lookups, &both, &f, &fresh) && f.listed == 1);
    close_all();
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_four_entries_come_to),
        cmocka_unit_test(test_a_list_that_does_not_pass_counts_for_nothing),
        cmocka_unit_test(test_a_list_that_goes_bad_takes_its_findings_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
