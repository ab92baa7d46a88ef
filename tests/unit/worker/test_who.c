/* who.c: the keys that a worker keeps are those that tarpit_who() and tarpit_sender() make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "smtp/address.h"
#include "worker/who.h"

static struct fake fake;

static int setup(void **state)
{
    fake_open(&fake);
    return 0;
}

static int teardown(void **state)
{
    fake_close(&fake);
    return 0;
}

static void assert_same(const struct tarpit_who *a, const struct tarpit_who *b)
{
    assert_true(a->client == b->client && a->network == b->network);
    assert_true(a->client_label == b->client_label && a->network_label == b->network_label);
    assert_true(a->pair == b->pair);
    assert_int_equal(a->exempt, b->exempt);
    assert_int_equal(a->authenticated, b->authenticated);
    assert_int_equal(a->sender_known, b->sender_known);
    assert_int_equal(a->null_sender, b->null_sender);
}

/* Both ways to ask, and in any order, whatever was asked before. */
static void check(const struct addr *peer, bool exempt, const char *domain)
{
    struct tarpit_who fresh = tarpit_who(&fake.w->tarpit, peer, exempt);
    struct tarpit_who kept = who_of(fake.w, peer, exempt);

    assert_same(&kept, &fresh);
    if (!domain)
        return;
    tarpit_sender(&fake.w->tarpit, &fresh, span_of(domain));
    kept = who_sends(fake.w, peer, exempt, span_of(domain));
    assert_same(&kept, &fresh);
}

static struct addr address(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static void test_the_kept_keys_are_the_fresh_ones_for_clients_of_every_form(void **state)
{
    static const char *const peers[] = {"192.0.2.7",         "192.0.2.8",       "::1",
                                        "2001:db8:0:1::1",   "2001:db8:0:1::2", "2002:c000:207::1",
                                        "2001:0:1:2:3:4:5:6"};
    static const char *const domains[] = {
        NULL,
        "a.example",
        "b.example",
        "",
        "a.example",
        NULL,
        "a-domain-that-is-longer-than-what-a-place-keeps.example",
        "A-domain-that-is-longer-than-what-a-place-keeps.example"};

    for (int round = 0; round < 2; round++)
        for (size_t d = 0; d < sizeof domains / sizeof *domains; d++)
            for (size_t p = 0; p < sizeof peers / sizeof *peers; p++) {
                struct addr peer = address(peers[p]);
                check(&peer, p % 2, domains[d]);
            }
}

static void test_clients_that_push_one_another_out_keep_their_own_keys(void **state)
{
    srand(14);
    for (int i = 0; i < 20000; i++) {
        struct addr peer = {.family = rand() % 2 ? ADDR_IP4 : ADDR_IP6};
        unsigned n = (unsigned)rand() % (3 * WHO_PLACES);
        char domain[32];
        peer.octets[0] = 32;
        peer.octets[peer.family == ADDR_IP4 ? 3 : 15] = (uint8_t)n;
        peer.octets[peer.family == ADDR_IP4 ? 2 : 9] = (uint8_t)(n >> 8);
        peer.port = (uint16_t)rand(); /* makes no difference */
        snprintf(domain, sizeof domain, "d%d.example", rand() % 3);
        check(&peer, rand() % 2, domain);
    }
}

/* What the recipient's query would compute. */
static uint64_t fresh_mailbox(struct span address)
{
    char folded[ADDRESS_MAX * 4];
    size_t at = address_sign(address);
    struct mailbox box = {span_first(address, at), span_after(address, at + 1)};
    size_t len = mailbox_fold(&box, folded, sizeof folded);

    return tarpit_mailbox(&fake.w->tarpit, (struct span){folded, len});
}

static void test_the_kept_mailbox_is_that_of_the_same_address(void **state)
{
    static const char *const text[] = {
        "alice@example.net",
        "Alice@example.net",
        "bob@example.net",
        "alice@example.ne",
        "postmaster",
        "alice+tag@example.net",
        "alice@example.net",
        "\"a b\"@example.net",
        "an-address-that-is-longer-than-what-a-place-keeps-of-them@mail.example.net"};
    const struct addr peers[] = {address("192.0.2.7"), address("192.0.2.8"), address("::1")};

    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof text / sizeof *text; i++)
            for (size_t p = 0; p < sizeof peers / sizeof *peers; p++) {
                struct span one = span_of(text[i]);
                assert_true(who_mailbox(fake.w, &peers[p], one) == fresh_mailbox(one));
                who_keep_mailbox(fake.w, &peers[p], one, fresh_mailbox(one));
                for (size_t j = 0; j < sizeof text / sizeof *text; j++) {
                    struct span other = span_of(text[j]);
                    assert_true(who_mailbox(fake.w, &peers[p], other) == fresh_mailbox(other));
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_the_kept_keys_are_the_fresh_ones_for_clients_of_every_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients_that_push_one_another_out_keep_their_own_keys,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_kept_mailbox_is_that_of_the_same_address, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
