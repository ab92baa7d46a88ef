/* Passwords in a file: whose line it is, and that names without one cannot be told (field notes G5,
 * G8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/file.h"

#define SCRAM_KEYS                                                                                 \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const struct sipkey key = {11, 12};

static char path[64];

/* Writes the file again; file_auth_open() opens it. */
static FILE *begin(void)
{
    strcpy(path, "/tmp/test-file-XXXXXX");
    return fdopen(mkstemp(path), "w");
}

static struct file_auth *opened(FILE *f)
{
    fclose(f);
    struct file_auth *auth = file_auth_open(path, &key, NULL);
    unlink(path);
    assert_non_null(auth);
    return auth;
}

/* So many lines of each kind, mixed. */
struct part {
    const char *hash;
    int lines;
};

static struct file_auth *mixed(const struct part *part, size_t parts, int extra)
{
    FILE *f = begin();
    int n = 0;
    for (size_t i = 0; i < parts; i++)
        for (int k = 0; k < part[i].lines; k++)
            fprintf(f, "user%d:%s\n", n++, part[i].hash);
    for (int k = 0; k < extra; k++)
        fprintf(f, "more%d:%s\n", k, part[0].hash);
    return opened(f);
}

static const struct part scram_parts[] = {
    {"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," SCRAM_KEYS, 60},
    {"{SCRAM-SHA-256}10000,W22ZaJ0SNY7soEsUEjb6gQ==," SCRAM_KEYS, 30},
    {"{SCRAM-SHA-256}10000,W22ZaJ0SNY7soEsU," SCRAM_KEYS, 10},
};

static struct scram_secret decoy_of(struct file_auth *auth, int n)
{
    struct scram_secret s = {0};
    char name[32];
    snprintf(name, sizeof name, "nobody%d", n);
    assert_int_equal(file_auth_secret(auth, span_of(name), 1, &s, NULL), ANSWER_NO);
    return s;
}

static void test_decoys_have_the_kinds_of_the_files_lines_in_its_proportions(void **state)
{
    enum { NAMES = 4000 };
    struct file_auth *auth = mixed(scram_parts, 3, 0);
    int slow = 0, short_salt = 0;
    for (int i = 0; i < NAMES; i++) {
        struct scram_secret s = decoy_of(auth, i);
        assert_true(s.iterations == 4096 || s.iterations == 10000);
        slow += s.iterations == 10000;
        short_salt += s.salt_len == 12;
    }
    assert_in_range(slow, NAMES * 0.4 - 130, NAMES * 0.4 + 130); /* 4 sigma */
    assert_in_range(short_salt, NAMES * 0.1 - 80, NAMES * 0.1 + 80);
    file_auth_close(auth);
    (void)state;
}

static void test_a_decoy_is_the_same_each_time_and_stays_when_the_file_grows(void **state)
{
    enum { NAMES = 2000 };
    struct file_auth *auth = mixed(scram_parts, 3, 0), *later = mixed(scram_parts, 3, 2);
    int changed = 0;
    for (int i = 0; i < NAMES; i++) {
        struct scram_secret a = decoy_of(auth, i), b = decoy_of(auth, i), c = decoy_of(later, i);
        assert_int_equal(a.iterations, b.iterations);
        assert_int_equal(a.salt_len, b.salt_len);
        changed += a.iterations != c.iterations || a.salt_len != c.salt_len;
    }
    assert_in_range(changed, 0, NAMES / 20);
    file_auth_close(auth);
    file_auth_close(later);
    (void)state;
}

/* ---- what is lost ---- */

static void write_lines(int lines)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs("# name:hash\n", f);
    for (int i = 0; i < lines; i++)
        fprintf(f, "user%d:%s\n", i, scram_parts[0].hash);
    fclose(f);
    /* long ago: it has settled */
    assert_int_equal(utimes(path, (struct timeval[]){{1000 + lines, 0}, {1000 + lines, 0}}), 0);
}

/* What a process that starts now says to a wrong password. */
static enum answer_result started(_Atomic uint32_t *accepted)
{
    struct file_auth *auth = file_auth_open(path, &key, accepted);
    enum answer_result r = file_auth_check(auth, SPAN("user0"), SPAN("wrong"), 1, NULL);

    file_auth_close(auth);
    return r;
}

static void test_a_file_without_logins_refuses_nobody_until_it_has_one(void **state)
{
    fclose(begin());
    write_lines(0);
    struct file_auth *auth = file_auth_open(path, &key, NULL);
    struct scram_secret secret;
    assert_int_equal(file_auth_check(auth, SPAN("user0"), SPAN("x"), 1, NULL), ANSWER_LATER);
    assert_int_equal(file_auth_secret(auth, SPAN("user0"), 1, &secret, NULL), ANSWER_LATER);
    assert_false(file_auth_has_scram(auth, 1));
    write_lines(1);
    assert_int_equal(file_auth_check(auth, SPAN("user0"), SPAN("x"), 5000, NULL), ANSWER_NO);
    write_lines(0);
    assert_int_equal(file_auth_check(auth, SPAN("user0"), SPAN("x"), 9000, NULL), ANSWER_NO);
    file_auth_close(auth);
    unlink(path);
}

static void test_a_process_that_is_restarted_takes_no_file_that_the_last_one_did_not(void **state)
{
    _Atomic uint32_t accepted = 0;

    fclose(begin());
    write_lines(4);
    assert_int_equal(started(&accepted), ANSWER_NO);
    assert_int_equal(accepted, 4);
    write_lines(1);
    assert_int_equal(started(&accepted), ANSWER_LATER);
    assert_int_equal(started(&accepted), ANSWER_LATER);
    write_lines(0);
    assert_int_equal(started(&accepted), ANSWER_LATER);
    assert_int_equal(accepted, 4);
    write_lines(2);
    assert_int_equal(started(&accepted), ANSWER_NO);
    assert_int_equal(accepted, 2);
    write_lines(1);
    assert_int_equal(started(&accepted), ANSWER_NO);
    unlink(path);
}

static void test_the_check_warns_of_a_file_without_logins(void **state)
{
    struct buf said = {0};

    assert_int_equal(file_auth_check_lines(SPAN("# name:hash\n\n"), "passwd", &said), 0);
    assert_non_null(memmem(said.at, said.len, "passwd: warning: it has no logins", 33));
    buf_free(&said);
    assert_int_equal(file_auth_check_lines(SPAN("alice:!\n"), "passwd", &said), 0);
    assert_int_equal(said.len, 0);
    buf_free(&said);
}

/* ---- what a check costs ---- */

/* Linked in place of crypt_rn(3) and scram_secret_is_of(): they note what is computed. A check's
 * time is the time of these, so their counts tell what a stopwatch would, on a busy machine too. */
static struct {
    unsigned calls; /* of both */
    char setting[16];
    unsigned iterations;
} worked;

char *__real_crypt_rn(const char *phrase, const char *setting, void *data, int size);
char *__wrap_crypt_rn(const char *phrase, const char *setting, void *data, int size);
bool __real_scram_secret_is_of(const struct scram_secret *secret, struct span password);
bool __wrap_scram_secret_is_of(const struct scram_secret *secret, struct span password);

char *__wrap_crypt_rn(const char *phrase, const char *setting, void *data, int size)
{
    worked.calls++;
    snprintf(worked.setting, sizeof worked.setting, "%s", setting);
    return __real_crypt_rn(phrase, setting, data, size);
}

bool __wrap_scram_secret_is_of(const struct scram_secret *secret, struct span password)
{
    worked.calls++;
    worked.iterations = secret->iterations;
    return __real_scram_secret_is_of(secret, password);
}

/* In the order of test_the_work_does_not_tell_who_is_in_a_file_of_mixed_hashes. */
enum { SHA_FAST, SHA_SLOW, SCRAM, BCRYPT, PRICES };

static int price_of(struct file_auth *auth, const char *name)
{
    memset(&worked, 0, sizeof worked);
    assert_int_equal(file_auth_check(auth, span_of(name), SPAN("guess"), 1, NULL), ANSWER_NO);
    assert_int_equal(worked.calls, 1);
    if (worked.iterations) {
        assert_int_equal(worked.iterations, 4096);
        return SCRAM;
    }
    if (strncmp(worked.setting, "$2b$04$", 7) == 0)
        return BCRYPT;
    assert_true(strncmp(worked.setting, "$6$rounds=", 10) == 0);
    return worked.setting[10] == '1' ? SHA_FAST : SHA_SLOW;
}

static void test_the_work_does_not_tell_who_is_in_a_file_of_mixed_hashes(void **state)
{
    enum { N = 400 };
    static const struct part part[PRICES] = {
        {"$6$rounds=1000$saltsalt$x", 40},
        {"$6$rounds=6000$saltsalt$x", 30},
        {"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," SCRAM_KEYS, 20},
        {"$2b$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcdefg", 10},
    };
    int known[PRICES] = {0}, unknown[PRICES] = {0};
    struct file_auth *auth = mixed(part, PRICES, 0);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "user%d", i % 100);
        known[price_of(auth, name)]++;
        snprintf(name, sizeof name, "nobody%d", i);
        unknown[price_of(auth, name)]++;
    }
    file_auth_close(auth);
    for (int i = 0; i < PRICES; i++) {
        assert_int_equal(known[i], N / 100 * part[i].lines);
        assert_in_range(unknown[i], known[i] - 40, known[i] + 40); /* 4 sigma of 400 at 0.4 */
    }
    (void)state;
}

/* A locked account's answer came at once: its line has no hash to compute. */
static void test_locked_accounts_cost_what_unknown_names_cost(void **state)
{
    static const struct part part[] = {
        {"$6$rounds=1000$saltsalt$x", 3},
        {"$2b$04$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcdefg", 1}};
    FILE *f = begin();
    for (int i = 0; i < 8; i++)
        fprintf(f, "user%d:%s\nlocked%d:%s%s\n", i, part[i % 4 == 3].hash, i, i % 2 ? "!" : "*",
                i % 4 < 2 ? part[0].hash : "");
    struct file_auth *auth = opened(f);
    assert_int_equal(file_auth_lines(auth), 8);
    assert_int_equal(file_auth_kinds(auth), 2);
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof name, "locked%d", i);
        assert_in_range(price_of(auth, name), 0, PRICES - 1); /* a hash was computed */
    }
    file_auth_close(auth);
}

/* Settings whose lines are one kind or two. */
static void test_kinds_differ_by_method_and_cost_and_not_by_salt(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } row[] = {
        {"$6$abc$x", "$6$def$y", true},
        {"$6$abc$x", "$5$abc$x", false},
        {"$6$rounds=5000$abc$x", "$6$rounds=5000$def$y", true},
        {"$6$rounds=5000$abc$x", "$6$rounds=9000$abc$x", false},
        {"$2b$12$abcdefghijklmnopqrstuu", "$2b$12$zyxwvutsrqponmlkjihgfe", true},
        {"$2b$12$abcdefghijklmnopqrstuu", "$2b$10$abcdefghijklmnopqrstuu", false},
        {"$y$j9T$abc$x", "$y$j9T$def$y", true},
        {"$y$j9T$abc$x", "$y$jAT$abc$x", false},
        {"$7$CU..../....abc$x", "$7$CU..../....def$y", true},
        {"$7$CU..../....abc$x", "$7$DU..../....abc$x", false},
        {"$1$abc$x", "$1$def$y", true},
        {"{SHA512-CRYPT}$6$abc$x", "$6$def$y", true},
        {"abJnggxhB/yWI", "cdJnggxhB/yWI", true},
        {"_J9..CCCCxxxxxxxxxxx", "_K9..CCCCxxxxxxxxxxx", false},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        FILE *f = begin();
        fprintf(f, "a:%s\nb:%s\n", row[i].a, row[i].b);
        struct file_auth *auth = opened(f);
        if ((file_auth_kinds(auth) == 1) != row[i].same)
            fail_msg("%s and %s", row[i].a, row[i].b);
        file_auth_close(auth);
    }
    (void)state;
}

static void test_a_line_is_found_without_case_and_names_the_account(void **state)
{
    static const struct {
        const char *typed, *password, *name;
        enum answer_result result;
    } row[] = {
        {"Alice@example.test", "A", "Alice@example.test", ANSWER_YES}, /* the very letters first */
        {"alice@example.test", "a", "alice@example.test", ANSWER_YES},
        {"ALICE@EXAMPLE.TEST", "A", "Alice@example.test", ANSWER_YES},
        {"BOB", "b", "bob", ANSWER_YES},
        {"Bob", "x", "bob", ANSWER_NO},
        {"carol", "b", "", ANSWER_NO},
        {"", "b", "", ANSWER_NO},
    };
    FILE *f = begin();
    /* Of "A", "a" and "b". */
    fputs("Alice@example.test:$5$rounds=1000$salt$Lxq8cXZtQy5.8uS50S3C.OeOH/FaRHaNyWiJ3gSkMVA\n",
          f);
    fputs("alice@example.test:$5$rounds=1000$salt$6r/iIvTVE34hgPJ5hHjCXJ/O.cBunKM7LE5EeVggYb6\n",
          f);
    fputs("bob:$5$rounds=1000$salt$BxQRO6p4yP6fpOm.cAizSG8cI9hBCmxM.ZYh86TzrZ4\n", f);
    struct file_auth *auth = opened(f);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct span name = {0};
        assert_int_equal(
            file_auth_check(auth, span_of(row[i].typed), span_of(row[i].password), 1, &name),
            row[i].result);
        if (!span_equal(name, span_of(row[i].name)))
            fail_msg("%s is %.*s", row[i].typed, (int)name.len, name.at);
    }
    file_auth_close(auth);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoys_have_the_kinds_of_the_files_lines_in_its_proportions),
        cmocka_unit_test(test_a_decoy_is_the_same_each_time_and_stays_when_the_file_grows),
        cmocka_unit_test(test_a_file_without_logins_refuses_nobody_until_it_has_one),
        cmocka_unit_test(test_a_process_that_is_restarted_takes_no_file_that_the_last_one_did_not),
        cmocka_unit_test(test_the_check_warns_of_a_file_without_logins),
        cmocka_unit_test(test_the_work_does_not_tell_who_is_in_a_file_of_mixed_hashes),
        cmocka_unit_test(test_locked_accounts_cost_what_unknown_names_cost),
        cmocka_unit_test(test_kinds_differ_by_method_and_cost_and_not_by_salt),
        cmocka_unit_test(test_a_line_is_found_without_case_and_names_the_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
