/* LDAP, with OpenLDAP's library: one bound connection for each thread, opened again when it breaks.
 *
 * The password is read from its file when the clerk starts, and only this process has it. If there
 * are several servers, the one that answered last is queried first. The library could try a list of
 * servers itself, but it would stay with a server that accepts connections and never answers. */
#include <errno.h>
#include <ldap.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/secret.h"
#include "config/config.h"
#include "directory/remote.h"

enum {
    LDAP_S = 3, /* to connect, for each step of it, and for each query */
    KEEPALIVE_S = 60,
    PASSWORD_MAX = 1024,
    /* of the answer to a search: one entry is asked for, but a forest has references to its parts */
    MESSAGES_MAX = 4096,
    MESSAGE_MAX = 256 * 1024 /* octets of one */
};

struct ldap_directory {
    const struct config_recipients *config;
    char password[PASSWORD_MAX];
    LDAP *ldap;        /* NULL: not bound */
    size_t server;     /* index in config->url: the server that is connected, or is tried first */
    _Atomic int *told; /* borrowed: of each server, the error that has been logged; it is not
                          repeated */
};

static bool read_password(struct ldap_directory *l)
{
    const char *path = l->config->password_file;

    if (!path)
        return true;
    int error = secret_read(path, l->password, sizeof l->password);
    if (error) {
        log_error("password_file %s cannot be read: %s", path, strerror(-error));
    } else if (!l->password[0]) {
        /* a server may take a bind without a password for an anonymous one */
        log_error("password_file %s has no password", path);
        error = -EINVAL;
    }
    errno = -error;
    return !error;
}

void ldap_directory_allow(struct sandbox *s)
{
    static const int option[] = {LDAP_OPT_X_TLS_CACERTFILE, LDAP_OPT_X_TLS_CACERTDIR,
                                 LDAP_OPT_X_TLS_CERTFILE, LDAP_OPT_X_TLS_KEYFILE,
                                 LDAP_OPT_X_TLS_CRLFILE};

    for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
        char *path = NULL;
        if (ldap_get_option(NULL, option[i], &path) == LDAP_OPT_SUCCESS)
            sandbox_path(s, path, SANDBOX_READ);
        ldap_memfree(path);
    }
}

struct ldap_directory *ldap_directory_open(const struct config_recipients *config,
                                           _Atomic int *told)
{
    struct ldap_directory *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->config = config;
    l->told = told;
    if (!read_password(l)) {
        ldap_directory_close(l);
        return NULL;
    }
    return l;
}

static void unbind(struct ldap_directory *l)
{
    if (l->ldap)
        ldap_unbind_ext_s(l->ldap, NULL, NULL);
    l->ldap = NULL;
}

void ldap_directory_rest(struct ldap_directory *l)
{
    unbind(l);
}

bool ldap_directory_is_open(const struct ldap_directory *l)
{
    return l->ldap;
}

void ldap_directory_close(struct ldap_directory *l)
{
    if (!l)
        return;
    unbind(l);
    explicit_bzero(l->password, sizeof l->password);
    free(l);
}

static void tell(struct ldap_directory *l, const char *what, int error)
{
    char *more = NULL;

    if (error != atomic_exchange(&l->told[l->server], error)) {
        if (l->ldap) /* above all for TLS: says what is wrong with the certificate */
            ldap_get_option(l->ldap, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
        log_warn("ldap: %s: %s: %s%s%s", l->config->url.at[l->server], what, ldap_err2string(error),
                 more && *more ? ": " : "", more ? more : "");
        ldap_memfree(more);
    }
}

/* Called for each connection before anything is read from it. libldap measures time only between
 * messages: it would wait for the rest of one without end, and make room for as much as its length
 * says. */
static int limit_connection(LDAP *ldap, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *addr,
                            struct ldap_conncb *callback)
{
    const struct timeval limit = {.tv_sec = LDAP_S};
    ber_len_t most = MESSAGE_MAX;
    int fd = -1;

    ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &most);
    if (ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) == 1 && fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    return 0;
}

static void forget_connection(LDAP *ldap, Sockbuf *sb, struct ldap_conncb *callback)
{
}

static int set_options(LDAP *ldap)
{
    static struct ldap_conncb callback = {limit_connection, forget_connection, NULL};
    const struct timeval limit = {.tv_sec = LDAP_S};
    const int version = LDAP_VERSION3, idle = KEEPALIVE_S;

    ldap_set_option(ldap, LDAP_OPT_NETWORK_TIMEOUT, &limit);
    ldap_set_option(ldap, LDAP_OPT_TIMEOUT, &limit);
    ldap_set_option(ldap, LDAP_OPT_CONNECT_CB, &callback);
    /* those of Active Directory do not work */
    ldap_set_option(ldap, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    ldap_set_option(ldap, LDAP_OPT_RESTART, LDAP_OPT_ON);
    ldap_set_option(ldap, LDAP_OPT_X_KEEPALIVE_IDLE, &idle); /* firewalls forget */
    return ldap_set_option(ldap, LDAP_OPT_PROTOCOL_VERSION, &version);
}

/* The machine's ldap.conf, an ldaprc and the environment say which authorities to trust, and may ask
 * for more. Whether certificates and the names in them are checked is not theirs to say: they are made
 * for programs of people, and `TLS_REQCERT never` there would send our password to anybody, without
 * a word. So a connection has a context of its own. libldap leaves the new one without what is
 * common. */
static int copy_common(LDAP *ldap, int option, const char *and_also)
{
    char *common = NULL;
    struct buf text = {0};
    int error = LDAP_SUCCESS;

    ldap_get_option(NULL, option, &common);
    if (common) {
        bool made = buf_add(&text, common, strlen(common)) == 0 &&
                    buf_add(&text, and_also, strlen(and_also) + 1) == 0;
        error = made ? ldap_set_option(ldap, option, text.at) : LDAP_NO_MEMORY;
    }
    buf_free(&text);
    ldap_memfree(common);
    return error;
}

/* With suites that have no certificate there would be nothing to check. OpenSSL may have such; in
 * GnuTLS they need keys that libldap does not set. */
static const char *but_not_anonymous(void)
{
    char *package = NULL;

    ldap_get_option(NULL, LDAP_OPT_X_TLS_PACKAGE, &package);
    bool openssl = package && strcmp(package, "OpenSSL") == 0;
    ldap_memfree(package);
    return openssl ? ":!aNULL:!eNULL" : "";
}

static int check_certificates(LDAP *ldap)
{
    static const int common[] = {LDAP_OPT_X_TLS_CACERTFILE, LDAP_OPT_X_TLS_CACERTDIR,
                                 LDAP_OPT_X_TLS_CERTFILE,   LDAP_OPT_X_TLS_KEYFILE,
                                 LDAP_OPT_X_TLS_CRLFILE,    LDAP_OPT_X_TLS_ECNAME};
    const int demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
    int least = 0, error = LDAP_SUCCESS;

    for (size_t i = 0; i < sizeof common / sizeof *common && error == LDAP_SUCCESS; i++)
        error = copy_common(ldap, common[i], "");
    if (error == LDAP_SUCCESS)
        error = copy_common(ldap, LDAP_OPT_X_TLS_CIPHER_SUITE, but_not_anonymous());
    if (error == LDAP_SUCCESS)
        error = ldap_get_option(NULL, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least);
    if (error == LDAP_SUCCESS)
        error = ldap_set_option(ldap, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least);
    if (error == LDAP_SUCCESS)
        error = ldap_set_option(ldap, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
#ifdef LDAP_OPT_X_TLS_REQUIRE_SAN
    const int usual = LDAP_OPT_X_TLS_ALLOW; /* the CN is the name if no SAN is */
    if (error == LDAP_SUCCESS)
        error = ldap_set_option(ldap, LDAP_OPT_X_TLS_REQUIRE_SAN, &usual);
#endif
    return error == LDAP_SUCCESS ? ldap_set_option(ldap, LDAP_OPT_X_TLS_NEWCTX, &client) : error;
}

static bool uses_tls(const struct ldap_directory *l)
{
    return l->config->start_tls || strncasecmp(l->config->url.at[l->server], "ldaps:", 6) == 0;
}

static int bind_here(struct ldap_directory *l)
{
    struct berval password = {strlen(l->password), l->password};
    const char *what = "cannot connect";
    int error = ldap_initialize(&l->ldap, l->config->url.at[l->server]);

    if (error == LDAP_SUCCESS)
        error = set_options(l->ldap);
    if (error == LDAP_SUCCESS && uses_tls(l)) {
        error = check_certificates(l->ldap);
        what = error == LDAP_SUCCESS ? what : "cannot prepare TLS";
    }
    if (error == LDAP_SUCCESS && l->config->start_tls) {
        what = "StartTLS";
        error = ldap_start_tls_s(l->ldap, NULL, NULL);
    }
    if (error == LDAP_SUCCESS) {
        what = "cannot bind";
        error = ldap_sasl_bind_s(l->ldap, l->config->bind_dn, LDAP_SASL_SIMPLE, &password, NULL,
                                 NULL, NULL);
    }
    if (error != LDAP_SUCCESS) {
        tell(l, what, error);
        unbind(l);
    }
    return error;
}

static void next_server(struct ldap_directory *l)
{
    l->server = (l->server + 1) % l->config->url.count;
}

/* Connects to the first server that accepts our bind. */
static int bind_somewhere(struct ldap_directory *l)
{
    int error = LDAP_SUCCESS;

    for (size_t i = 0; i < l->config->url.count && !l->ldap; i++) {
        error = bind_here(l);
        if (error != LDAP_SUCCESS)
            next_server(l);
    }
    return error;
}

/* The filter with each %s replaced by the escaped address; the caller frees it. NULL without
 * memory. */
static char *make_filter(const char *pattern, struct span address)
{
    struct berval plain = {address.len, (char *)address.at}, escaped = {0};
    struct buf filter = {0};
    char *made = NULL;

    if (ldap_bv2escaped_filter_value(&plain, &escaped) != 0)
        return NULL;
    for (const char *at = pattern; *at; at++) {
        bool here = at[0] == '%' && at[1] == 's';
        (void)(here ? buf_add(&filter, escaped.bv_val, escaped.bv_len) : buf_add(&filter, at, 1));
        at += here;
    }
    if (buf_add(&filter, "", 1) == 0)
        made = strdup(filter.at);
    buf_free(&filter);
    ber_memfree(escaped.bv_val);
    return made;
}

/* The next message of a search, or 0 after `until_ms`, or less with *error. */
static int next_message(struct ldap_directory *l, int id, uint64_t until_ms, LDAPMessage **message,
                        int *error)
{
    uint64_t now = clock_mono_ms(), left = now < until_ms ? until_ms - now : 0;
    struct timeval limit = {.tv_sec = (time_t)(left / 1000), .tv_usec = (long)(left % 1000) * 1000};
    int kind = left ? ldap_result(l->ldap, id, LDAP_MSG_ONE, &limit, message) : 0;

    *error = LDAP_TIMEOUT;
    if (kind < 0) {
        ldap_get_option(l->ldap, LDAP_OPT_RESULT_CODE, error);
        *error = *error == LDAP_SUCCESS ? LDAP_SERVER_DOWN : *error;
    }
    return kind;
}

/* Reads the answer to a search up to its end, and counts the entries. A server that sends other
 * messages, or too many, or no end, has not answered: "nothing found" would be a guess. */
static int read_answer(struct ldap_directory *l, int id, int *found)
{
    uint64_t until = clock_mono_ms() + LDAP_S * 1000;

    *found = 0;
    for (int i = 0; i < MESSAGES_MAX; i++) {
        LDAPMessage *message = NULL;
        int error, kind = next_message(l, id, until, &message, &error);
        if (kind <= 0)
            return error;
        if (kind == LDAP_RES_SEARCH_RESULT) {
            int parsed = ldap_parse_result(l->ldap, message, &error, NULL, NULL, NULL, NULL, 1);
            return parsed == LDAP_SUCCESS ? error : parsed;
        }
        ldap_msgfree(message);
        *found += kind == LDAP_RES_SEARCH_ENTRY;
        if (kind != LDAP_RES_SEARCH_ENTRY && kind != LDAP_RES_SEARCH_REFERENCE &&
            kind != LDAP_RES_INTERMEDIATE)
            break;
    }
    return LDAP_DECODING_ERROR;
}

static int search(struct ldap_directory *l, const char *filter, int *found)
{
    struct timeval limit = {.tv_sec = LDAP_S};
    char none[] = LDAP_NO_ATTRS, *attributes[] = {none, NULL};
    int id, error = bind_somewhere(l);

    if (error != LDAP_SUCCESS)
        return error;
    error = ldap_search_ext(l->ldap, l->config->base, LDAP_SCOPE_SUBTREE, filter, attributes, 1,
                            NULL, NULL, &limit, 1, &id);
    if (error == LDAP_SUCCESS)
        error = read_answer(l, id, found);
    /* there is more than the one entry that was requested */
    if (error == LDAP_SIZELIMIT_EXCEEDED && *found > 0)
        error = LDAP_SUCCESS;
    if (error == LDAP_SUCCESS) {
        l->told[l->server] = LDAP_SUCCESS;
    } else {
        tell(l, "cannot search", error);
        unbind(l);
        if (error == LDAP_TIMEOUT)
            next_server(l);
    }
    return error;
}

enum answer_result ldap_directory_ask(struct ldap_directory *l, struct span address)
{
    char *filter = make_filter(l->config->filter, address);
    bool kept = l->ldap != NULL;
    int found = 0;

    if (!filter)
        return ANSWER_LATER;
    int error = search(l, filter, &found);
    if (error != LDAP_SUCCESS && kept) /* the server may have closed an idle connection */
        error = search(l, filter, &found);
    free(filter);
    if (error != LDAP_SUCCESS)
        return ANSWER_SILENCE;
    return found > 0 ? ANSWER_YES : ANSWER_NO;
}
