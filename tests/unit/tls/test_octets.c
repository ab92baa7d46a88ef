/* Records without octets for the session, of which a client may send any number: each is a turn of its
 * own, so that one client never keeps a worker within OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/octets.h"
#include "tls/server.h"

enum { MANY = 100 }; /* so many small records fit into the socket */

static char path[] = "/tmp/mired-tls-XXXXXX"; /* of the certificate, with its key */
static struct tls_server *server;
static SSL_CTX *context;
static SSL *here, *there; /* the server's and the client's side */
static int pair[2];

static void write_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    FILE *f = fdopen(mkstemp(path), "w");

    assert_non_null(f);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mx.test", -1, -1,
                               0);
    X509_set_version(x, 2);
    X509_set_issuer_name(x, name);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(f, x), 1);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static int open_all(void **state)
{
    char *certificate[] = {path};
    struct tls_server_params params = {
        .certificate = certificate, .certificates = 1, .place = "x:1", .minimum = 12};
    struct buf errors = {0};

    write_certificate();
    assert_int_equal(tls_server_open(&params, &server, &errors), 0);
    buf_free(&errors);
    unlink(path);
    context = SSL_CTX_new(TLS_client_method());
    return 0;
}

static int close_all(void **state)
{
    SSL_CTX_free(context);
    tls_server_close(server);
    return 0;
}

static int shake(void **state)
{
    int done = 0;

    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), errno);
    here = tls_server_new(server, pair[0]);
    there = SSL_new(context);
    SSL_set_fd(there, pair[1]);
    SSL_set_connect_state(there);
    SSL_set_accept_state(here);
    for (int i = 0; i < 20 && done != 3; i++)
        done = (SSL_do_handshake(there) == 1) | (SSL_do_handshake(here) == 1) << 1;
    assert_int_equal(done, 3);
    return 0;
}

static int end(void **state)
{
    SSL_free(here);
    SSL_free(there);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static int waiting(void)
{
    int octets = 0;

    assert_return_code(ioctl(pair[0], FIONREAD, &octets), errno);
    return octets;
}

/* The client sends this many key updates, and then a command. */
static void updates_are_turns(int kind)
{
    char octets[64];
    unsigned turns = 0;

    for (int i = 0; i < MANY; i++) {
        assert_int_equal(SSL_key_update(there, kind), 1);
        assert_int_equal(SSL_do_handshake(there), 1);
    }
    assert_int_equal(SSL_write(there, "NOOP", 4), 4);
    for (ssize_t n = -1; n < 0; turns++) {
        assert_true(waiting() > 0);
        n = tls_octets_in(here, octets, sizeof octets);
        assert_true(n == 4 || (n < 0 && errno == EAGAIN));
    }
    assert_true(turns > MANY);
    assert_memory_equal(octets, "NOOP", 4);
    assert_int_equal(waiting(), 0);
    assert_int_equal(tls_octets_out(here, "250\r\n", 5), 5);
    assert_int_equal(SSL_read(there, octets, sizeof octets), 5);
}

static void test_each_key_update_is_a_turn_of_its_own(void **state)
{
    updates_are_turns(SSL_KEY_UPDATE_NOT_REQUESTED);
}

static void test_a_key_update_that_wants_one_back_is_a_turn_of_its_own(void **state)
{
    updates_are_turns(SSL_KEY_UPDATE_REQUESTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_key_update_is_a_turn_of_its_own, shake, end),
        cmocka_unit_test_setup_teardown(test_a_key_update_that_wants_one_back_is_a_turn_of_its_own,
                                        shake, end),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
