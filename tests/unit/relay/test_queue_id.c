/* Which name a backend gives a message: what real servers say. Field notes 15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relay/queue_id.h"

static const struct {
    const char *text, *id;
} replies[] = {
    {"Ok: queued as 4F2K9bXYZ1", "4F2K9bXYZ1"},            /* Postfix */
    {"Ok: queued as 4bPq3W0xJGz9rxN", "4bPq3W0xJGz9rxN"},  /* Postfix, long queue ids */
    {"Ok: 17 bytes queued as 3FADAAB4224", "3FADAAB4224"}, /* Postfix, to BDAT */
    {" 17 byte chunk, total 17\nOK id=1xXbrn-00000T-0Z", "1xXbrn-00000T-0Z"}, /* Exim, to BDAT */
    {"OK id=1rGh2x-0004Wd-1L", "1rGh2x-0004Wd-1L"},                           /* Exim 4.96 */
    {"OK id=1u8Zkt-00000000F5a-2QyB", "1u8Zkt-00000000F5a-2QyB"},       /* Exim 4.97 and later */
    {"3AOE2Pxy012345 Message accepted for delivery", "3AOE2Pxy012345"}, /* sendmail */
    {"2fe1a0b7 Message accepted for delivery", "2fe1a0b7"},             /* OpenSMTPD */
    {"<a@b.test> [InternalId=41111111, Hostname=ex1.b.test] 1500 bytes in 0.1 Queued mail for "
     "delivery",
     "41111111"},                                                                    /* Exchange */
    {"<alice@example.test> 2LHPEq5YZGV/CQAAgAaUHA Saved", "2LHPEq5YZGV/CQAAgAaUHA"}, /* Dovecot */
    {"Ok SESSIONID=<cyrus-1700000000-1-2>", "cyrus-1700000000-1-2"},                 /* Cyrus */
    {"Message Queued (5D3A1B2C-0001.1)", "5D3A1B2C-0001.1"},                         /* Haraka */
    {"ok 1700000000 qp 4242", "4242"},                                               /* qmail */
    {"OK  1700000000 a1-20020a05600c.25 - gsmtp", "a1-20020a05600c.25"},
    {"Ok: queued as 4F2K9bXYZ1.", "4F2K9bXYZ1"},
    {"Queued mail as <ABC123>", "ABC123"},
    {"Ok", ""},
    {"", ""},
    {"Message accepted for delivery", ""},
    {"Saved", ""},
    {"OK, taken with good id=", ""},
    {"queued as", ""},
    {"queued as a\" event=forged", ""}, /* too short, and never more than the id's own octets */
    {"queued as 4F2K9\" event=forged", "4F2K9"},
};

static void test_the_ids_that_servers_say_are_found(void **state)
{
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct span id = queue_id(span_of(replies[i].text));
        if (id.len != strlen(replies[i].id) ||
            (id.len && memcmp(id.at, replies[i].id, id.len) != 0))
            fail_msg("\"%.*s\" in: %s", (int)id.len, id.len ? id.at : "", replies[i].text);
    }
}

static void test_an_endless_id_is_none(void **state)
{
    char text[400] = "queued as ";

    memset(text + 10, '7', sizeof text - 10);
    assert_int_equal(queue_id((struct span){text, sizeof text}).len, 0);
    assert_int_equal(queue_id((struct span){text, 138}).len, 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_ids_that_servers_say_are_found),
        cmocka_unit_test(test_an_endless_id_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
