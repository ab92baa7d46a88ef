/* answer.c: what an answer's records say, and that nothing is read beyond it. Field notes 22. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/answer.h"

enum { HEADER = 12, A = 1, CNAME = 5, PTR = 12, AAAA = 28, IN = 1, CHAOS = 3 };

static struct message {
    uint8_t octets[2048];
    size_t len;
} m;

static void add(const void *octets, size_t len)
{
    memcpy(m.octets + m.len, octets, len);
    m.len += len;
}

/* A query for the root name, and no records yet. */
static void begin(void)
{
    memset(&m, 0, sizeof m);
    m.len = HEADER;
    m.octets[5] = 1;
    add((const uint8_t[]){0, 0, A, 0, IN}, 5);
}

static void record(int type, int class, const void *data, size_t len)
{
    add((const uint8_t[]){0, 0, (uint8_t)type, 0, (uint8_t) class, 0, 0, 1, 0, (uint8_t)(len >> 8),
                          (uint8_t)len},
        11);
    add(data, len);
    m.octets[7]++;
}

static size_t addresses(size_t octets, uint8_t *out, size_t most)
{
    uint8_t *exact = malloc(m.len); /* of its very size, so that a step beyond it is seen */

    assert_non_null(exact);
    memcpy(exact, m.octets, m.len);
    size_t n = dns_addresses(exact, m.len, octets, out, most);
    free(exact);
    return n;
}

static size_t names(struct dns_name *out, size_t most)
{
    uint8_t *exact = malloc(m.len);

    assert_non_null(exact);
    memcpy(exact, m.octets, m.len);
    size_t n = dns_names(exact, m.len, out, most);
    free(exact);
    return n;
}

static void test_addresses_of_the_asked_kind_are_read(void **state)
{
    const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    uint8_t out[4][16];

    begin();
    record(CNAME, IN, "\3www\0", 5);
    record(A, IN, (const uint8_t[]){192, 0, 2, 1}, 4);
    record(AAAA, IN, six, 16);
    record(A, CHAOS, (const uint8_t[]){192, 0, 2, 9}, 4);
    record(A, IN, (const uint8_t[]){192, 0, 2}, 3);
    record(A, IN, (const uint8_t[]){192, 0, 2, 2}, 4);
    assert_int_equal(addresses(4, out[0], 4), 2);
    assert_memory_equal(out[0], ((const uint8_t[]){192, 0, 2, 1, 192, 0, 2, 2}), 8);
    assert_int_equal(addresses(4, out[0], 1), 1);
    assert_int_equal(addresses(16, out[0], 4), 1);
    assert_memory_equal(out[0], six, 16);
}

static void test_names_are_read_compressed_or_not(void **state)
{
    struct dns_name out[4];

    begin();
    record(PTR, IN, "\4mail\7example\3org\0", 18);
    size_t example = m.len - 13; /* "\7example" */
    record(PTR, IN,
           ((const uint8_t[]){2, 'm', 'x', 0xc0 | (uint8_t)(example >> 8), (uint8_t)example}), 5);
    assert_int_equal(names(out, 4), 2);
    assert_string_equal(out[0].text, "mail.example.org");
    assert_string_equal(out[1].text, "mx.example.org");
    assert_int_equal(names(out, 1), 1);
}

/* Names that would be read as others, or never end. */
static void test_names_that_no_host_has_are_left_out(void **state)
{
    static const struct {
        const char *name;
        size_t len;
    } row[] = {
        {"\0", 1},                 /* the root */
        {"\4a.b.\3org\0", 10},     /* a dot within a label */
        {"\4a b \3org\0", 10},     /* a space */
        {"\3a\0b\3org\0", 9},      /* NUL */
        {"\77a\3org\0", 7},        /* a label beyond the end */
        {"\100a\0", 3},            /* a kind of label that is none */
        {"\3org", 4},              /* no end */
        {"\300\34", 2},            /* points to itself: 28 is where the data begins */
        {"\377\377", 2},           /* points beyond */
        {"\300", 1},               /* half a pointer */
        {"\4ex\r\n\3org\0", 10},   /* a line of SMTP */
        {"\3\xc3\xa4x\3org\0", 9}, /* other octets than ASCII */
        {"", 0},                   /* nothing */
    };
    struct dns_name out[4];

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        begin();
        record(PTR, IN, row[i].name, row[i].len);
        assert_int_equal(names(out, 4), 0);
    }
}

static void test_a_message_that_ends_anywhere_is_read_within_it(void **state)
{
    struct dns_name out[4];
    uint8_t address[64];

    begin();
    record(PTR, IN, "\4mail\7example\3org\0", 18);
    record(A, IN, (const uint8_t[]){192, 0, 2, 1}, 4);
    for (size_t whole = m.len; m.len > 0; m.len--) {
        size_t n = names(out, 4);
        assert_true(n == (m.len >= whole - 15));
        assert_int_equal(addresses(4, address, 4), m.len == whole);
    }
    assert_int_equal(dns_names(m.octets, 0, out, 4), 0);
    assert_int_equal(dns_addresses(NULL, 0, 4, address, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_of_the_asked_kind_are_read),
        cmocka_unit_test(test_names_are_read_compressed_or_not),
        cmocka_unit_test(test_names_that_no_host_has_are_left_out),
        cmocka_unit_test(test_a_message_that_ends_anywhere_is_read_within_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
