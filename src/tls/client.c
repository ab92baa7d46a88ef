/* TLS towards backends; see client.h. */
#include "tls/client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdlib.h>

#include "base/sandbox.h"

void tls_client_allow(struct sandbox *s)
{
    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL);
    /* Debian's default folder has links to the other two. */
    sandbox_path(s, X509_get_default_cert_dir(), SANDBOX_READ);
    sandbox_path(s, getenv(X509_get_default_cert_dir_env()), SANDBOX_READ);
    sandbox_path(s, X509_get_default_cert_file(), SANDBOX_READ);
    sandbox_path(s, getenv(X509_get_default_cert_file_env()), SANDBOX_READ);
    sandbox_path(s, "/usr/share/ca-certificates", SANDBOX_READ);
    sandbox_path(s, "/usr/local/share/ca-certificates", SANDBOX_READ);
}

SSL_CTX *tls_client_open(const struct tls_client_params *params)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY); /* as in server.c */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (params->verified) {
        if (!params->ca) {
            SSL_CTX_set_default_verify_paths(context);
        } else if (SSL_CTX_load_verify_locations(context, params->ca, NULL) != 1) {
            SSL_CTX_free(context);
            return NULL;
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
    return context;
}

/* Sets the name that the certificate must have. */
static bool expect(SSL *ssl, const struct tls_client_params *params)
{
    char address[ADDR_TEXT];

    if (params->host) {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        return SSL_set1_host(ssl, params->host) == 1;
    }
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl),
                                         addr_format(&params->addr, address)) == 1;
}

SSL *tls_client_new(SSL_CTX *context, const struct tls_client_params *params, int fd)
{
    SSL *ssl = SSL_new(context);

    if (!ssl)
        return NULL;
    bool good = SSL_set_fd(ssl, fd) == 1;
    if (good && params->host)
        good = SSL_set_tlsext_host_name(ssl, params->host) == 1;
    if (good && params->verified)
        good = expect(ssl, params);
    if (good) {
        SSL_set_connect_state(ssl);
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}

int tls_client_shake(SSL *ssl)
{
    ERR_clear_error();
    int done = SSL_do_handshake(ssl);
    if (done == 1)
        return 1;
    int why = SSL_get_error(ssl, done);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool tls_client_ended(void)
{
    unsigned long error = ERR_peek_last_error();

    return error == 0 || (ERR_GET_LIB(error) == ERR_LIB_SSL &&
                          ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

const char *tls_client_error(const SSL *ssl)
{
    long verdict = SSL_get_verify_result(ssl);
    const char *why = ERR_reason_error_string(ERR_peek_last_error());

    if (verdict != X509_V_OK)
        return X509_verify_cert_error_string(verdict);
    return why ? why : "the connection ended";
}
