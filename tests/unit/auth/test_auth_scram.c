/* SCRAM logins over both messages, with a file and with a Dovecot that the test plays: who may log in,
 * who goes on with a login, and what tells nobody who exists. The test is the client, too (RFC 5802 3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/auth.h"
#include "config/config.h"
#include "played_dovecot.h"
#include "virtual_clock.h"

enum { CLERK = 3, SLOTS = 2 };

/* Of "pencil" (RFC 7677 3). */
#define SECRET                                                                                     \
    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"   \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static char folder[64], path[80], conf[80];
static struct config *config;
static struct auth *auth;
static struct scram_shapes shapes;
static struct answer last; /* that came later */
static int later;

static void answered(void *arg, const struct auth_asker *asker, const struct answer *answer)
{
    assert_int_equal(answer->id, asker->id);
    last = *answer;
    later++;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void open_auth(void)
{
    struct auth_params params = {
        .config = config, .slots = SLOTS, .clerk = CLERK, .decoys = {5, 6}, .shapes = &shapes};

    auth = auth_open(&params);
    assert_non_null(auth);
    auth_tell(auth, answered, NULL);
}

static void open_with(const char *before, const char *passwords, const char *after)
{
    char text[1000];
    struct buf said = {0};

    strcpy(folder, "/tmp/test-auth-scram-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/passwords", folder);
    snprintf(conf, sizeof conf, "%s/conf", folder);
    write_file(path, passwords);
    snprintf(text, sizeof text,
             "hostname = \"mx.example.test\"\nlisten \"127.0.0.1:2525\" { }\n"
             "backend \"smtp://127.0.0.1:2526\" { }\ndomains = { \"example.test\" }\n"
             "%sauth \"file\" { path = \"%s\" }\n%s",
             before, path, after);
    write_file(conf, text);
    if (config_read(conf, &config, &said) != 0)
        fail_msg("%.*s", (int)said.len, said.at);
    buf_free(&said);
    refuses = false;
    memset(&shapes, 0, sizeof shapes);
    open_auth();
    later = 0;
}

#define DOVECOT "auth \"dovecot\" { path = \"/run/none\" }\n"
#define ALICE   "alice@example.test:" SECRET "\n"

static int open_file(void **state)
{
    open_with("", ALICE, "");
    return 0;
}

static void say(const char *text)
{
    assert_true(send(server, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    auth_read(auth);
}

static void greet(void)
{
    (void)auth_look_after(auth);
    say("VERSION\t1\t2\nMECH\tSCRAM-SHA-256\nSPID\t7\nCUID\t3\nCOOKIE\tx\nDONE\n");
}

static int open_dovecot(void **state)
{
    open_with(DOVECOT, ALICE, "");
    greet();
    return 0;
}

static int open_file_and_dovecot(void **state)
{
    open_with("", ALICE, DOVECOT);
    greet();
    return 0;
}

static int close_all(void **state)
{
    auth_close(auth);
    config_free(config);
    close_server();
    unlink(conf);
    unlink(path);
    return rmdir(folder);
}

/* ---- the client ---- */

static const struct addr nobody = {.family = ADDR_IP4};

/* Sends the first message; *a has the answer, unless it comes later. */
static bool begin(const char *user, uint16_t slot, struct answer *a)
{
    struct auth_asker asker = {.id = 11, .slot = slot};
    char first[400];

    *a = (struct answer){0};
    snprintf(first, sizeof first, "n,,n=%s,r=abcdef", user);
    return auth_scram_begin(auth, &asker, span_of(first), (struct span){0}, &nobody, a);
}

static bool go_on(const char *message, uint16_t slot, uint64_t login_id, struct answer *a)
{
    struct auth_asker asker = {.id = 12, .slot = slot};

    *a = (struct answer){0};
    return auth_scram_go_on(auth, &asker, login_id, span_of(message), a);
}

static void hmac(const uint8_t *key, const char *text, size_t len, uint8_t out[32])
{
    unsigned size = 32;
    assert_non_null(HMAC(EVP_sha256(), key, 32, (const uint8_t *)text, len, out, &size));
}

/* What a client answers that knows the user's name, the password, and the server's first message. */
static void make_proof(const char *user, const char *password, const struct answer *server_first,
                       char out[700])
{
    char head[400], text[1200], nonce[200], salt64[200];
    uint8_t salt[200], salted[32], key[32], stored[32], signature[32];
    char coded[80];
    int iterations;

    snprintf(text, sizeof text, "%.*s", (int)server_first->len, server_first->text);
    assert_int_equal(sscanf(text, "r=%199[^,],s=%199[^,],i=%d", nonce, salt64, &iterations), 3);
    int len = EVP_DecodeBlock(salt, (uint8_t *)salt64, (int)strlen(salt64));
    assert_true(len > 0);
    len -= (salt64[strlen(salt64) - 1] == '=') + (salt64[strlen(salt64) - 2] == '=');
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, len, iterations,
                                       EVP_sha256(), 32, salted),
                     1);
    hmac(salted, "Client Key", 10, key);
    assert_int_equal(EVP_Digest(key, 32, stored, NULL, EVP_sha256(), NULL), 1);
    snprintf(head, sizeof head, "c=biws,r=%s", nonce);
    snprintf(text, sizeof text, "n=%s,r=abcdef,%.*s,%s", user, (int)server_first->len,
             server_first->text, head);
    hmac(stored, text, strlen(text), signature);
    for (int i = 0; i < 32; i++)
        key[i] ^= signature[i];
    EVP_EncodeBlock((uint8_t *)coded, key, 32);
    snprintf(out, 700, "%s,p=%s", head, coded);
}

/* Logs in; the first message must be answered with a challenge at once. */
static enum answer_result log_in(const char *user, const char *password, struct answer *a)
{
    char proof[700];

    assert_true(begin(user, 0, a));
    assert_int_equal(a->result, ANSWER_MORE);
    assert_int_equal(a->login_id >> 32, CLERK);
    make_proof(user, password, a, proof);
    assert_true(go_on(proof, 0, a->login_id, a));
    return (enum answer_result)a->result;
}

/* ---- with a file ---- */

static void test_the_right_password_logs_in_as_the_accounts_own_name(void **state)
{
    struct answer a;

    assert_int_equal(log_in("ALICE@example.test", "pencil", &a), ANSWER_YES);
    assert_true(span_equal(answer_name(&a), SPAN("alice@example.test")));
    assert_memory_equal(a.text, "v=", 2);
    assert_int_equal(a.len, 2 + 44); /* it proves that we know the password, too */
}

static void test_wrong_passwords_and_unknown_names_are_refused_at_the_second_message(void **state)
{
    static const char *const user[] = {"alice@example.test", "nobody@example.test", "x"};
    struct answer a;

    for (size_t i = 0; i < sizeof user / sizeof *user; i++) {
        assert_int_equal(log_in(user[i], "pencils", &a), ANSWER_NO);
        assert_int_equal(a.len, 0);
    }
    /* not even by the password of another account */
    assert_int_equal(log_in("nobody@example.test", "pencil", &a), ANSWER_NO);
}

static struct span challenge_of(const struct answer *a)
{
    const char *salt = memmem(a->text, a->len, ",s=", 3);

    assert_non_null(salt);
    return (struct span){salt, (size_t)(a->text + a->len - salt)};
}

static void test_an_unknown_names_challenge_is_like_a_known_ones_and_stays(void **state)
{
    struct answer known, unknown, again;

    assert_true(begin("alice@example.test", 0, &known));
    assert_true(begin("nobody@example.test", 0, &unknown));
    assert_true(begin("nobody@example.test", 1, &again));
    assert_int_equal(unknown.result, ANSWER_MORE);
    assert_int_equal(unknown.len, known.len);
    assert_int_equal(unknown.wait_ms, known.wait_ms);
    assert_int_equal(unknown.name_len, known.name_len);
    assert_true(span_equal(challenge_of(&unknown), challenge_of(&again)));
    assert_false(span_equal(challenge_of(&unknown), challenge_of(&known)));
}

static void test_only_the_slot_that_began_a_login_goes_on_with_it(void **state)
{
    struct answer a, b;
    char proof[700];

    assert_true(begin("alice@example.test", 0, &a));
    make_proof("alice@example.test", "pencil", &a, proof);
    assert_true(go_on(proof, 1, a.login_id, &b)); /* a worker that was taken over */
    assert_int_equal(b.result, ANSWER_LATER);
    assert_true(go_on(proof, 0, a.login_id + (UINT64_C(1) << 32), &b)); /* of another clerk */
    assert_int_equal(b.result, ANSWER_LATER);
    assert_true(go_on(proof, 0, a.login_id + 1, &b));
    assert_int_equal(b.result, ANSWER_LATER);
    assert_true(go_on(proof, 0, a.login_id, &b)); /* none of these has ended it */
    assert_int_equal(b.result, ANSWER_YES);
    assert_true(go_on(proof, 0, a.login_id, &b)); /* a proof counts once */
    assert_int_equal(b.result, ANSWER_LATER);
}

static void test_a_first_message_that_is_none_gets_a_refusal_and_no_login(void **state)
{
    static const char *const first[] = {"", "n,,", "n=alice,r=abc", "p=tls-exporter,,n=a,r=abc"};
    struct auth_asker asker = {0};

    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        struct answer a = {0};
        assert_true(
            auth_scram_begin(auth, &asker, span_of(first[i]), (struct span){0}, &nobody, &a));
        if (a.result != ANSWER_NO || a.login_id || a.len)
            fail_msg("\"%s\": %u", first[i], a.result);
    }
}

/* PLAIN gets a 454 then. A rewritten file is read when it has not changed for some seconds. */
static void test_a_file_that_is_being_rewritten_refuses_nobody(void **state)
{
    struct answer a;

    assert_int_equal(log_in("carol@example.test", "pencil", &a), ANSWER_NO);
    write_file(path, ALICE "carol@example.test:" SECRET "\n");
    mono_ms += 1100;
    assert_int_equal(log_in("carol@example.test", "pencil", &a), ANSWER_LATER);
    assert_int_equal(a.len, 0);
    assert_int_equal(log_in("alice@example.test", "new", &a), ANSWER_LATER);
    assert_int_equal(log_in("alice@example.test", "pencil", &a), ANSWER_YES);
    mono_ms += 3100;
    assert_int_equal(log_in("carol@example.test", "pencil", &a), ANSWER_YES);
    assert_int_equal(log_in("alice@example.test", "new", &a), ANSWER_NO);
}

/* The clerk died between the two messages, and another client began a login at its successor. */
static void test_a_message_for_a_clerk_that_died_ends_no_login_of_the_next(void **state)
{
    struct answer old, new, a;
    char proof[700];

    assert_true(begin("alice@example.test", 0, &old));
    make_proof("alice@example.test", "pencil", &old, proof);
    auth_close(auth);
    mono_ms += 1000;
    open_auth();
    assert_true(begin("alice@example.test", 0, &new));
    assert_true(go_on(proof, 0, old.login_id, &a));
    assert_int_equal(a.result, ANSWER_LATER);
    make_proof("alice@example.test", "pencil", &new, proof);
    assert_true(go_on(proof, 0, new.login_id, &a));
    assert_int_equal(a.result, ANSWER_YES);
}

/* ---- with Dovecot after the file ---- */

#define CHALLENGE                                                                                  \
    "cj1hYmNkZWZERyxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=" /* r=abcdefDG,... */

static void test_the_time_does_not_tell_which_names_the_file_has(void **state)
{
    struct answer a;

    assert_true(begin("alice@example.test", 0, &a));
    assert_int_equal(a.result, ANSWER_MORE);
    assert_int_equal(a.wait_ms, 600); /* Dovecot's usual delay for others, and some */
    assert_false(begin("nobody@example.test", 0, &a));
    mono_ms += 2000;
    say("FAIL\t1\n");
    assert_int_equal(last.result, ANSWER_MORE);
    assert_true(begin("alice@example.test", 0, &a));
    assert_int_equal(a.wait_ms, last.wait_ms);
    assert_int_equal(a.wait_ms, 2100);
}

static void test_dovecot_after_a_file_that_is_being_rewritten_refuses_nobody(void **state)
{
    struct answer a;

    write_file(path, ALICE "bob@example.test:" SECRET "\n");
    mono_ms += 1100;
    assert_false(begin("bob@example.test", 0, &a));
    say("CONT\t1\t" CHALLENGE "\n");
    assert_int_equal(last.result, ANSWER_MORE);
    assert_false(go_on("c=biws,r=abcdefDG,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", 0,
                       last.login_id, &a));
    say("FAIL\t1\tuser=bob@example.test\n");
    assert_int_equal(later, 2);
    assert_int_equal(last.result, ANSWER_LATER);
}

/* ---- with Dovecot before the file ---- */

static void test_dovecot_decides_for_the_names_that_it_knows(void **state)
{
    struct answer a;

    assert_false(begin("bob@example.test", 0, &a));
    say("CONT\t1\t" CHALLENGE "\n");
    assert_int_equal(later, 1);
    assert_int_equal(last.result, ANSWER_MORE);
    assert_memory_equal(last.text, "r=abcdefDG,s=", 13);
    uint64_t login = last.login_id;
    assert_false(
        go_on("c=biws,r=abcdefDG,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", 0, login, &a));
    say("FAIL\t1\tuser=bob@example.test\n");
    assert_int_equal(later, 2);
    assert_int_equal(last.result, ANSWER_NO);
    assert_true(go_on("c=biws", 0, login, &a)); /* it has ended */
    assert_int_equal(a.result, ANSWER_LATER);
}

static void test_a_name_that_dovecot_does_not_know_is_looked_up_in_the_file(void **state)
{
    struct answer a;
    char proof[700];

    assert_false(begin("alice@example.test", 0, &a));
    say("FAIL\t1\tuser=alice@example.test\n");
    assert_int_equal(last.result, ANSWER_MORE);
    assert_true(last.wait_ms > 0); /* a stranger must not see how soon Dovecot refused */
    make_proof("alice@example.test", "pencil", &last, proof);
    assert_true(go_on(proof, 0, last.login_id, &a));
    assert_int_equal(a.result, ANSWER_YES);
}

/* It might have known the name: its silence must refuse nobody. */
static void test_a_dovecot_that_cannot_answer_refuses_nobody(void **state)
{
    struct answer a;

    assert_false(begin("alice@example.test", 0, &a));
    mono_ms += 10001;
    (void)auth_look_after(auth);
    assert_int_equal(later, 1);
    assert_int_equal(last.result, ANSWER_LATER);
    assert_false(begin("alice@example.test", 0, &a));
    refuses = true;
    close_server();
    auth_read(auth);
    assert_int_equal(later, 2);
    assert_int_equal(last.result, ANSWER_LATER);
    assert_int_equal(last.login_id, 0);
    assert_true(begin("alice@example.test", 0, &a)); /* it is not connected */
    assert_int_equal(a.result, ANSWER_LATER);
    assert_int_equal(a.login_id, 0);
}

static void test_a_challenge_that_costs_the_client_too_much_never_reaches_it(void **state)
{
    static const char *const bad[] = {
        "cj1hYmNkZWZERyxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTk5OTk5OTk5OTk=", /* i=9999999999 */
        "cj14eHhkZWZERyxzPVcyMlphSjBTTlk3c29Fc1VFamI2Z1E9PSxpPTQwOTY=",         /* r=xxxdefDG */
        "!!!!", ""};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer a;
        char text[200];
        later = 0;
        assert_false(begin("bob@example.test", 0, &a));
        snprintf(text, sizeof text, "CONT\t%zu\t%s\n", i + 1, bad[i]);
        say(text);
        if (later != 1 || last.result != ANSWER_LATER || last.len)
            fail_msg("%s: %d, %u", bad[i], later, last.result);
    }
}

#define WITH(open, test) cmocka_unit_test_setup_teardown(test, open, close_all)

/* ---- what a message costs ---- */

/* Linked in place of OpenSSL's: they count what is computed, which a busy machine does not change. */
static struct {
    unsigned calls; /* of both */
    size_t octets;
} worked;

unsigned char *__real_HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *d,
                           size_t n, unsigned char *out, unsigned int *len);
unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *d,
                           size_t n, unsigned char *out, unsigned int *len);
int __real_EVP_Digest(const void *d, size_t n, unsigned char *out, unsigned int *len,
                      const EVP_MD *type, ENGINE *e);
int __wrap_EVP_Digest(const void *d, size_t n, unsigned char *out, unsigned int *len,
                      const EVP_MD *type, ENGINE *e);

unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *d,
                           size_t n, unsigned char *out, unsigned int *len)
{
    worked.calls++;
    worked.octets += n;
    return __real_HMAC(md, key, key_len, d, n, out, len);
}

int __wrap_EVP_Digest(const void *d, size_t n, unsigned char *out, unsigned int *len,
                      const EVP_MD *type, ENGINE *e)
{
    worked.calls++;
    worked.octets += n;
    return __real_EVP_Digest(d, n, out, len, type, e);
}

#define LOCKED "carol@example.test:!" SECRET "\n"
#define LONG_SALT                                                                                  \
    "{SCRAM-SHA-256}4096,"                                                                         \
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==,"    \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static int open_locked(void **state)
{
    open_with("", ALICE LOCKED, "");
    return 0;
}

static int open_locked_with_long_salts(void **state)
{
    open_with("", "alice@example.test:" LONG_SALT "\ncarol@example.test:!" LONG_SALT "\n", "");
    return 0;
}

/* A salt that was computed for unknown names only made their first answer come 40 microseconds
 * later. */
static void test_the_work_of_each_message_does_not_tell_who_exists(void **state)
{
    static const char *const names[] = {"alice@example.test", "carol@example.test",
                                        "nobod@example.test"};
    unsigned calls[2] = {0};
    size_t octets[2] = {0};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct answer a;
        char proof[700];
        memset(&worked, 0, sizeof worked);
        assert_true(begin(names[i], 0, &a));
        assert_int_equal(a.result, ANSWER_MORE);
        for (int message = 0; message < 2; message++) {
            print_message("%s, message %d: %u hashes of %zu octets\n", names[i], message + 1,
                          worked.calls, worked.octets);
            assert_true(worked.calls > 0);
            assert_true(i == 0 ||
                        (worked.calls == calls[message] && worked.octets == octets[message]));
            calls[message] = worked.calls;
            octets[message] = worked.octets;
            if (message)
                break;
            make_proof(names[i], "guess", &a, proof);
            memset(&worked, 0, sizeof worked);
            assert_true(go_on(proof, 0, a.login_id, &a));
            assert_int_equal(a.result, ANSWER_NO);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(open_file, test_the_right_password_logs_in_as_the_accounts_own_name),
        WITH(open_file, test_wrong_passwords_and_unknown_names_are_refused_at_the_second_message),
        WITH(open_file, test_an_unknown_names_challenge_is_like_a_known_ones_and_stays),
        WITH(open_file, test_only_the_slot_that_began_a_login_goes_on_with_it),
        WITH(open_file, test_a_first_message_that_is_none_gets_a_refusal_and_no_login),
        WITH(open_file, test_a_file_that_is_being_rewritten_refuses_nobody),
        WITH(open_file, test_a_message_for_a_clerk_that_died_ends_no_login_of_the_next),
        WITH(open_file_and_dovecot, test_the_time_does_not_tell_which_names_the_file_has),
        WITH(open_file_and_dovecot,
             test_dovecot_after_a_file_that_is_being_rewritten_refuses_nobody),
        WITH(open_dovecot, test_dovecot_decides_for_the_names_that_it_knows),
        WITH(open_dovecot, test_a_name_that_dovecot_does_not_know_is_looked_up_in_the_file),
        WITH(open_dovecot, test_a_dovecot_that_cannot_answer_refuses_nobody),
        WITH(open_dovecot, test_a_challenge_that_costs_the_client_too_much_never_reaches_it),
        cmocka_unit_test_setup_teardown(test_the_work_of_each_message_does_not_tell_who_exists,
                                        open_locked, close_all),
        cmocka_unit_test_setup_teardown(test_the_work_of_each_message_does_not_tell_who_exists,
                                        open_locked_with_long_salts, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
