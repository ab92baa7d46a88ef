/* Base64, on the vectors of RFC 4648 section 10. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"

static void test_the_rfcs_vectors_both_ways(void **state)
{
    static const struct {
        const char *plain, *coded;
    } vectors[] = {{"", ""},
                   {"f", "Zg=="},
                   {"fo", "Zm8="},
                   {"foo", "Zm9v"},
                   {"foob", "Zm9vYg=="},
                   {"fooba", "Zm9vYmE="},
                   {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char out[16];
        size_t len = base64_encode(span_of(vectors[i].plain), out);
        assert_int_equal(len, BASE64_LEN(strlen(vectors[i].plain)));
        assert_true(span_equal((struct span){out, len}, span_of(vectors[i].coded)));
        assert_true(base64_decode(span_of(vectors[i].coded), out, sizeof out, &len));
        assert_true(span_equal((struct span){out, len}, span_of(vectors[i].plain)));
    }
}

static void test_all_octets_survive(void **state)
{
    char octets[256], coded[BASE64_LEN(256)], back[256];
    size_t len;
    for (int i = 0; i < 256; i++)
        octets[i] = (char)i;
    assert_int_equal(base64_encode((struct span){octets, 256}, coded), sizeof coded);
    assert_true(base64_decode((struct span){coded, sizeof coded}, back, sizeof back, &len));
    assert_int_equal(len, 256);
    assert_memory_equal(octets, back, 256);
}

static void test_what_is_not_base64_is_refused(void **state)
{
    static const char *const wrong[] = {"Z", "Zg", "Zg=", "Z===", "====", "Zm9v\n", "Zm9-", "Zm=v"};
    char out[16];
    size_t len;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(base64_decode(span_of(wrong[i]), out, sizeof out, &len));
}

static void test_what_does_not_fit_is_counted_and_not_written(void **state)
{
    char out[4] = "abc";
    size_t len;
    assert_true(base64_decode(SPAN("Zm9vYmFy"), out, 2, &len));
    assert_int_equal(len, 6);
    assert_string_equal(out, "foc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rfcs_vectors_both_ways),
        cmocka_unit_test(test_all_octets_survive),
        cmocka_unit_test(test_what_is_not_base64_is_refused),
        cmocka_unit_test(test_what_does_not_fit_is_counted_and_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
