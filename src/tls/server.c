/* Certificates and keys, and the TLS that is offered with them; see server.h. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tls/server.h"

struct tls_server {
    size_t count;
    SSL_CTX *context[]; /* one for each certificate; the first is for clients that ask for none of
                           them */
};

/* Forward secrecy and authenticated encryption only. A client that is too old for that falls back
 * to no TLS on port 25, which is hardly less secure. */
static const char ciphers_12[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!PSK:!CAMELLIA:!ARIA:!AESCCM";

/* ---- reading ---- */

struct reading {
    const struct tls_server_params *params;
    struct buf *errors;
};

/* OpenSSL puts the cause into its queue first, and then which of its parts have failed for it. It
 * says nothing of a folder, which it can open and not read. */
static const char *cause(const char *path)
{
    unsigned long code = ERR_peek_error();
    int lib = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return strerrordesc_np(EISDIR);
    if (lib == ERR_LIB_SYS)
        return strerrordesc_np(reason);
    if ((lib == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
        (lib == ERR_LIB_OSSL_DECODER && reason == ERR_R_UNSUPPORTED))
        return "not in PEM format";
    return ERR_reason_error_string(code);
}

static void wrong(struct reading *r, const char *what, const char *path)
{
    const char *why = cause(path);

    (void)buf_addf(r->errors, "%s: tls: %s \"%s\": %s\n", r->params->place, what, path,
                   why ? why : "unusable");
    ERR_clear_error();
}

/* Replaces OpenSSL's function, which would ask for the passphrase at the terminal. */
static int no_passphrase(char *out, int room, int encrypting, void *asked)
{
    *(bool *)asked = true;
    return -1;
}

static bool load(struct reading *r, SSL_CTX *context, size_t i)
{
    bool asked = false;

    const char *certificate = r->params->certificate[i];
    const char *key = i < r->params->keys ? r->params->key[i] : certificate;

    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) {
        wrong(r, "certificate", certificate);
        return false;
    }
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
    int loaded = SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (loaded == 1)
        return true;
    if (asked) {
        buf_addf(r->errors,
                 "%s: tls: key \"%s\" is encrypted; use a key without a passphrase: openssl pkey "
                 "-in %s -out KEY\n",
                 r->params->place, key, key);
        ERR_clear_error();
    } else {
        wrong(r, "key", key);
    }
    return false;
}

/* Accepts any client certificate, because a bad one is no reason to refuse mail.
 * tls_client_is_known() checks it later. */
static int take_any(int good, X509_STORE_CTX *store)
{
    return 1;
}

static bool ask_clients(struct reading *r, SSL_CTX *context)
{
    const char *ca = r->params->client_ca;

    if (!ca)
        return true;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
    if (!names || SSL_CTX_load_verify_file(context, ca) != 1) {
        wrong(r, "client_ca", ca);
        return false;
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, take_any);
    return true;
}

static void harden(SSL_CTX *context, int minimum)
{
    SSL_CTX_set_min_proto_version(context, minimum == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context, ciphers_12);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    /* After a record without data (a KeyUpdate, say) SSL_read() returns. Otherwise a client that sends
     * them without end keeps the worker within one call. */
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* ---- SNI ---- */

static bool is_for(SSL_CTX *context, const char *name)
{
    return X509_check_host(SSL_CTX_get0_certificate(context), name, 0, 0, NULL) == 1;
}

/* Whether both certificates are valid for one of the names in the first. */
static bool share_a_name(SSL_CTX *a, SSL_CTX *b)
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(SSL_CTX_get0_certificate(a), NID_subject_alt_name, NULL, NULL);
    bool shared = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !shared; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            shared = is_for(b, (const char *)ASN1_STRING_get0_data(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    return shared;
}

/* Adds this certificate to a connection, which uses it if the client cannot use the first
 * certificate's kind of key. */
static void add(SSL *ssl, const SSL_CTX *context)
{
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs((SSL_CTX *)context, &chain);
    (void)SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(context),
                               SSL_CTX_get0_privatekey(context), chain, 0);
    ERR_clear_error(); /* it has a certificate of this kind */
}

/* Chooses the certificate for the name that the client asks for, else the first; and adds those for
 * the same name with another kind of key (ECDSA and RSA), one of each kind. */
static int choose(SSL *ssl, int *alert, void *arg)
{
    const struct tls_server *t = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t first = 0;

    while (name && first < t->count && !is_for(t->context[first], name))
        first++;
    if (first == t->count) { /* an unknown name is no reason to refuse mail either */
        first = 0;
        name = NULL;
    }
    if (first)
        SSL_set_SSL_CTX(ssl, t->context[first]);
    for (size_t i = 0; i < t->count; i++) {
        bool same_name =
            name ? is_for(t->context[i], name) : share_a_name(t->context[first], t->context[i]);
        if (i != first && same_name)
            add(ssl, t->context[i]);
    }
    return SSL_TLSEXT_ERR_OK;
}

int tls_server_open(const struct tls_server_params *params, struct tls_server **out,
                    struct buf *errors)
{
    struct reading r = {params, errors};
    size_t n = params->certificates;
    bool good = true;

    *out = NULL;
    if (n == 0)
        return 0;
    struct tls_server *t = calloc(1, sizeof *t + n * sizeof t->context[0]);
    if (!t)
        return -1;
    for (size_t i = 0; i < n; i++) {
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        if (!context) {
            good = false;
            break;
        }
        t->context[t->count++] = context;
        harden(context, params->minimum);
        good = load(&r, context, i) && ask_clients(&r, context) && good;
        SSL_CTX_set_tlsext_servername_callback(context, choose);
        SSL_CTX_set_tlsext_servername_arg(context, t);
    }
    if (!good) {
        tls_server_close(t);
        return -1;
    }
    *out = t;
    return 0;
}

void tls_server_close(struct tls_server *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        SSL_CTX_free(t->context[i]);
    free(t);
}

SSL *tls_server_new(const struct tls_server *t, int fd)
{
    SSL *ssl = SSL_new(t->context[0]);

    if (ssl && SSL_set_fd(ssl, fd) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

size_t tls_exported(SSL *ssl, void *out, size_t room)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    enum { LEN = 32 };

    if (room < LEN || SSL_export_keying_material(ssl, out, LEN, label, sizeof label - 1,
                                                 (const unsigned char *)"", 0, 1) != 1)
        return 0;
    return LEN;
}

/* Uses the hash of the certificate's signature, but SHA-256 if that hash is weaker (or if the
 * signature has none, as with Ed25519). */
size_t tls_end_point(const SSL *ssl, void *out, size_t room)
{
    X509 *certificate = SSL_get_certificate(ssl);
    int nid = NID_undef;
    unsigned len = 0;

    if (!certificate || X509_get_signature_info(certificate, &nid, NULL, NULL, NULL) != 1)
        return 0;
    if (nid == NID_undef || nid == NID_md5 || nid == NID_sha1)
        nid = NID_sha256;
    const EVP_MD *md = EVP_get_digestbynid(nid);
    if (!md || (size_t)EVP_MD_get_size(md) > room || X509_digest(certificate, md, out, &len) != 1)
        return 0;
    return len;
}

bool tls_client_is_known(const SSL *ssl)
{
    return SSL_get0_peer_certificate(ssl) && SSL_get_verify_result(ssl) == X509_V_OK;
}
