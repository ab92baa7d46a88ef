/* The verifiers in order: a Dovecot, and behind it a file of hashes, each of which takes milliseconds.
 * The test plays Dovecot; the clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <crypt.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/auth.h"
#include "config/config.h"
#include "played_dovecot.h"
#include "virtual_clock.h"

enum { LOGINS = 150, HASH_MS = 4 };

static int hashes;

char *__wrap_crypt_rn(const char *phrase, const char *setting, void *data, int size);
char *__wrap_crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
    snprintf(data, (size_t)size, "%s", strcmp(phrase, "right") == 0 ? setting : "*");
    hashes++;
    mono_ms += HASH_MS;
    return data;
}

static char folder[64], path[80], conf[80];
static struct config *config;
static struct auth *auth;
static int answers, result[LOGINS];

static void answered(void *arg, const struct auth_asker *asker, const struct answer *answer)
{
    answers++;
    assert_in_range(asker->id, 0, LOGINS - 1);
    result[asker->id] = answer->result;
}

static void say(const char *text)
{
    assert_true(send(server, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    auth_read(auth);
}

static const char alice[] = "alice@example.test:$6$salt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/"
                            "jctKu9YterLp8wwnSq.qc."
                            "eoxqOmSuNp2xS0ktL3nh/\n";

static int set_up_with(const char *passwords)
{
    struct buf said = {0};

    strcpy(folder, "/tmp/test-auth-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/passwords", folder);
    FILE *f = fopen(path, "w");
    fputs(passwords, f);
    fclose(f);
    snprintf(conf, sizeof conf, "%s/conf", folder);
    f = fopen(conf, "w");
    fprintf(f,
            "hostname = \"mx.example.test\"\nlisten \"127.0.0.1:2525\" { }\n"
            "backend \"smtp://127.0.0.1:2526\" { }\ndomains = { \"example.test\" }\n"
            "auth \"dovecot\" { path = \"/run/none\" }\nauth \"file\" { path = \"%s\" }\n",
            path);
    fclose(f);
    if (config_read(conf, &config, &said) != 0)
        fail_msg("%.*s", (int)said.len, said.at);
    buf_free(&said);
    struct auth_params params = {.config = config, .slots = 2};
    auth = auth_open(&params);
    assert_non_null(auth);
    auth_tell(auth, answered, NULL);
    (void)auth_look_after(auth);
    say("VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t3\nCOOKIE\tx\nDONE\n");
    answers = hashes = 0;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(alice);
}

static int set_up_without_logins(void **state)
{
    return set_up_with("# none yet\n");
}

static int tear_down(void **state)
{
    auth_close(auth);
    config_free(config);
    close_server();
    unlink(conf);
    unlink(path);
    return rmdir(folder);
}

static void ask(int id, const char *password)
{
    static const struct addr client = {.family = ADDR_IP4};
    struct auth_asker asker = {.id = (uint64_t)id, .slot = (uint16_t)(id % 2)};
    struct answer answer = {0};

    assert_false(
        auth_check(auth, &asker, SPAN("alice@example.test"), span_of(password), &client, &answer));
}

static void dovecot_refuses(int first, int last)
{
    char text[LOGINS * 16] = "";

    for (int i = first; i <= last; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "FAIL\t%d\n", i);
    say(text);
}

static void test_many_answers_at_once_cost_one_hash_a_turn(void **state)
{
    for (int i = 0; i < LOGINS; i++)
        ask(i, i == 7 ? "right" : "wrong");
    dovecot_refuses(1, LOGINS); /* in one read */
    assert_int_equal(hashes, 0);
    for (int i = 0; i < LOGINS; i++) {
        assert_true(auth_has_checks(auth));
        assert_int_equal(answers, i);
        assert_int_equal(auth_look_after(auth) == 0, i + 1 < LOGINS);
        assert_int_equal(hashes, i + 1);
    }
    assert_false(auth_has_checks(auth));
    for (int i = 0; i < LOGINS; i++)
        assert_int_equal(result[i], i == 7 ? ANSWER_YES : ANSWER_NO);
}

static void test_what_no_worker_waits_for_any_more_costs_no_hash(void **state)
{
    ask(0, "right");
    ask(1, "right");
    dovecot_refuses(1, 2);
    mono_ms += QUERY_TIMEOUT_MS;
    (void)auth_look_after(auth);
    assert_int_equal(answers, 2);
    assert_int_equal(result[0], ANSWER_LATER);
    assert_int_equal(result[1], ANSWER_LATER);
    assert_int_equal(hashes, 0);
}

static void test_a_dovecot_that_ends_leaves_all_its_logins_to_the_file(void **state)
{
    for (int i = 0; i < LOGINS; i++)
        ask(i, i % 2 ? "right" : "wrong");
    close_server();
    auth_read(auth);
    assert_int_equal(hashes, 0);
    while (auth_has_checks(auth))
        (void)auth_look_after(auth);
    assert_int_equal(answers, LOGINS);
    for (int i = 0; i < LOGINS; i++) /* Dovecot might have known the other password */
        assert_int_equal(result[i], i % 2 ? ANSWER_YES : ANSWER_LATER);
}

static void test_what_waits_when_the_clerk_ends_is_answered(void **state)
{
    ask(0, "right");
    dovecot_refuses(1, 1);
    assert_true(auth_has_checks(auth));
    auth_close(auth);
    auth = NULL;
    assert_int_equal(answers, 1);
    assert_int_equal(result[0], ANSWER_LATER); /* nobody has checked it: a NO would be an offence */
    assert_int_equal(hashes, 0);
}

/* A wrong password is an offence there, too. */
static void test_a_file_that_never_had_a_login_leaves_the_answer_to_dovecot(void **state)
{
    ask(0, "wrong");
    dovecot_refuses(1, 1);
    (void)auth_look_after(auth);
    assert_int_equal(answers, 1);
    assert_int_equal(result[0], ANSWER_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_answers_at_once_cost_one_hash_a_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_no_worker_waits_for_any_more_costs_no_hash,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_dovecot_that_ends_leaves_all_its_logins_to_the_file,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_waits_when_the_clerk_ends_is_answered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_file_that_never_had_a_login_leaves_the_answer_to_dovecot, set_up_without_logins,
            tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
