/* Whatever an LDAP server says: a recipient exists only after a SearchResultEntry, and does not
 * exist only after a SearchResultDone (RFC 4511 4.5.2). */
#include <ldap.h>
#include <openldap.h>

#include "directory/remote.h"

#include "../hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TAG_ENTRY = 0x64, TAG_DONE = 0x65, QUESTIONS = 2 };

/* libldap 2.5 loses 140 octets at each notice of disconnection (RFC 4511 4.4.1). */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:liblber";
}

int __wrap_ldap_initialize(LDAP **out, const char *url);
int __wrap_ldap_initialize(LDAP **out, const char *url)
{
    int fd = hostile_connect();

    if (fd < 0)
        return LDAP_SERVER_DOWN;
    int error = ldap_init_fd(fd, LDAP_PROTO_TCP, url, out);
    if (error != LDAP_SUCCESS)
        close(fd);
    return error;
}

int __real_ldap_set_option(LDAP *ldap, int option, const void *value);
int __wrap_ldap_set_option(LDAP *ldap, int option, const void *value);

/* libldap calls what is set for new connections when it has connected, but not for one that it was
 * given. The library would make room for as much as the length of a message says. */
int __wrap_ldap_set_option(LDAP *ldap, int option, const void *value)
{
    struct ldap_conncb *callback = (struct ldap_conncb *)value;
    ber_len_t most = 0;
    Sockbuf *sb;

    if (option == LDAP_OPT_CONNECT_CB) {
        assert(ldap_get_option(ldap, LDAP_OPT_SOCKBUF, &sb) == LDAP_SUCCESS);
        assert(callback->lc_add(ldap, sb, NULL, NULL, callback) == 0);
        ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_MAX_INCOMING, &most);
        assert(most > 0 && most <= 1024 * 1024);
    }
    return __real_ldap_set_option(ldap, option, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    _Atomic int told[8] = {0};

    if (size > HOSTILE_MAX)
        return 0;
    if (!config)
        config = hostile_config(
            "backend \"smtp://127.0.0.1:2526\" { }\n"
            "recipients \"ldap\" { url = { \"ldap://127.0.0.1:1\" } base = \"dc=example\" filter = "
            "\"(mail=%s)\" }\n");
    hostile_begin(data, size);
    struct ldap_directory *l = ldap_directory_open(&config->recipients[0], told);
    assert(l);
    for (int i = 0; i < QUESTIONS; i++) {
        enum answer_result r = ldap_directory_ask(l, SPAN("a(*)\\lice@example.org"));
        assert(r == ANSWER_YES || r == ANSWER_NO || r == ANSWER_LATER || r == ANSWER_SILENCE);
        assert(r != ANSWER_YES || memchr(data, TAG_ENTRY, size));
        assert(r != ANSWER_NO || memchr(data, TAG_DONE, size));
    }
    ldap_directory_close(l);
    hostile_close();
    return 0;
}
