/* Settings of Postfix (the output of postconf -n, or main.cf itself); see import_part.h.
 *
 * The text is first read into a table of parameters, because their values refer to each other
 * ($myhostname) and may be in any order (import_postfix_table.c). Then the table at the end has a
 * row for each parameter that can be converted; import_postfix_access.c converts those about
 * clients. */
#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "import_part.h"
#include "import_postfix_part.h"

/* ---- conversion of each parameter; `value` is expanded ---- */

static unsigned long seconds_of(struct span value)
{
    static const struct {
        char unit;
        unsigned long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    unsigned long n = import_number(value, 10);

    for (size_t i = 0; value.len && i < sizeof units / sizeof units[0]; i++)
        if (value.at[value.len - 1] == units[i].unit)
            return n * units[i].seconds;
    return n;
}

static void take_time(struct postfix *p, struct span name, struct span value)
{
    import_time(p->im, "smtpd_error_sleep_time", seconds_of(value));
    import_note(p->im,
                "set -o smtpd_error_sleep_time=0 for mired's listener in master.cf: mired delays "
                "clients now, and Postfix's sleeps would also delay mired's lookups for good mail");
}

static void take_networks(struct postfix *p, struct span name, struct span value)
{
    import_relay(p->im, value);
}

static void take_hostname(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (import_is_domain(value))
        import_set(p->im, "myhostname: how mired greets", "hostname = \"%.*s\"", (int)value.len,
                   value.at);
}

static void take_domains(struct postfix *p, struct span name, struct span value)
{
    import_domains(p->im, value);
}

static void take_size(struct postfix *p, struct span name, struct span value)
{
    unsigned long size = strtoul(value.len ? value.at : "0", NULL, 10);

    p->im->found++;
    if (size == 0 || size > 4000000000UL)
        import_set(p->im, "message_size_limit is unlimited there; this is mired's maximum",
                   "size_max = 4000000000");
    else if (size >= 1024)
        import_set(p->im, "message_size_limit: announced with SIZE", "size_max = %lu", size);
}

static void take_delimiter(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (import_is_plain(value) && value.len < 16 && !import_contains(value, "@"))
        import_set(p->im, "user+tag is delivered to user", "recipient_delimiter = \"%.*s\"",
                   (int)value.len, value.at);
}

/* socketmap:unix:PATH:NAME, socketmap:inet:HOST:PORT:NAME. */
static bool take_socketmap(struct postfix *p, struct span table)
{
    size_t colon = table.len;
    struct span rest = span_after(table, sizeof "socketmap:" - 1);

    while (colon > 0 && table.at[colon - 1] != ':')
        colon--;
    struct span map = span_after(table, colon);
    if (colon < sizeof "socketmap:unix:" || map.len == 0 || !import_is_plain(table))
        return false;
    bool local = span_starts_fold(rest, SPAN("unix:"));
    struct span path = {rest.at, (size_t)(map.at - 1 - rest.at)};
    if (local)
        path = span_after(path, sizeof "unix:" - 1);
    if (local ? path.len == 0 || path.at[0] != '/' : !span_starts_fold(path, SPAN("inet:")))
        return false;
    import_set(p->im, "mired asks the same socketmap which recipients exist",
               "recipients \"socketmap\" { path = \"%.*s\"  map = \"%.*s\" }", (int)path.len,
               path.at, (int)map.len, map.at);
    return true;
}

/* Recipients: mired asks Postfix, which looks into all of its tables; mired can also ask a
 * socketmap, which saves Postfix those queries. */
static void take_recipients(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (value.len == 0) {
        import_note(p->im,
                    "%.*s is empty: Postfix accepts mail for every name there, and so does mired",
                    (int)name.len, name.at);
        return;
    }
    for (struct span table; (table = import_word(&value, ", \t")).len;)
        if (!span_starts_fold(table, SPAN("socketmap:")) || !take_socketmap(p, table))
            import_note(p->im, "%.*s: mired asks Postfix, which looks into %.*s", (int)name.len,
                        name.at, (int)table.len, table.at);
}

static void take_certificate(struct postfix *p, struct span name, struct span value)
{
    struct buf key = {0};

    if (postfix_find(p, SPAN("smtpd_tls_chain_files"))) /* Postfix takes these then */
        return;
    postfix_expand(p, SPAN("$smtpd_tls_key_file"), &key, 0);
    struct span k = buf_span(&key);
    p->im->found++;
    if (value.len && import_is_plain(value) && import_is_plain(k) &&
        !span_equal(value, SPAN("none")))
        import_set(p->im, "smtpd_tls_cert_file: STARTTLS with the same certificate",
                   "tls { certificate = \"%.*s\"  key = \"%.*s\" }", (int)value.len, value.at,
                   (int)k.len, k.at);
    buf_free(&key);
}

static void take_logins(struct postfix *p, struct span name, struct span value)
{
    const struct parameter *kind = postfix_find(p, SPAN("smtpd_sasl_type"));
    bool dovecot = kind && span_equal(buf_span(&kind->value), SPAN("dovecot"));
    struct buf path = {0};

    p->im->found++;
    postfix_expand(p, SPAN("$smtpd_sasl_path"), &path, 0);
    struct span where = buf_span(&path);
    if (!span_equal(value, SPAN("yes"))) {
        import_note(p->im, "logins: Postfix offers none on port 25, so mired offers none");
    } else if (dovecot && where.len && where.at[0] == '/' && import_is_plain(where)) {
        import_set(p->im, "smtpd_sasl_path: Dovecot checks logins",
                   "auth \"dovecot\" { path = \"%.*s\" }", (int)where.len, where.at);
    } else {
        import_set(p->im, "logins: Postfix checks them, as before", "auth \"backend\" { }");
        if (dovecot)
            import_note(
                p->im,
                "better, if Dovecot has a socket for mired (only Postfix may use smtpd_sasl_path): "
                "auth \"dovecot\" { path = \"/run/dovecot/auth-client\" }, "
                "see recipes/dovecot.md");
    }
    if (span_equal(value, SPAN("yes"))) {
        import_note(p->im, "ports 587 and 465 stay with Postfix. To move 587 here, remove its "
                           "submission lines from master.cf, and add:");
        import_note(p->im, "  listen \"0.0.0.0:587\" { submission = true }");
        import_note(p->im, "  listen \"[::]:587\" { submission = true }");
    }
    buf_free(&path);
}

/* `certificate` also takes files with a key and a chain. */
static void take_chains(struct postfix *p, struct span name, struct span value)
{
    struct span rest = value, file = import_word(&rest, ", \t");

    p->im->found++;
    if (file.len && import_is_plain(file) && import_word(&rest, ", \t").len == 0)
        import_set(p->im, "smtpd_tls_chain_files: STARTTLS with the same certificate",
                   "tls { certificate = \"%.*s\" }", (int)file.len, file.at);
    else
        import_note(p->im,
                    "smtpd_tls_chain_files = %.*s is not converted: mired needs each key in its "
                    "certificate's file, or in `key`",
                    (int)value.len, value.at);
}

/* Addresses that Postfix listens on become mired's. */
static void take_interfaces(struct postfix *p, struct span name, struct span value)
{
    struct span rest = value;
    char text[ADDR_TEXT], shown[ADDR_TEXT + 2];
    struct addr a;

    p->im->found++;
    if (span_equal(value, SPAN("all")))
        return;
    for (struct span word; (word = import_word(&rest, ", \t")).len;) {
        if (span_equal(word, SPAN("loopback-only")) || span_equal(word, SPAN("localhost"))) {
            import_listen(p->im, "127.0.0.1", "inet_interfaces: this machine only");
        } else if (addr_parse(word, &a)) {
            snprintf(shown, sizeof shown, a.family == ADDR_IP6 ? "[%s]" : "%s",
                     addr_format(&a, text));
            import_listen(p->im, shown, "inet_interfaces");
        } else {
            import_note(p->im,
                        "inet_interfaces: %.*s is not converted: a `listen` needs an address",
                        (int)word.len, word.at);
        }
    }
}

static void take_protocols(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    p->im->only_ip4 = span_equal(value, SPAN("ipv4"));
    p->im->only_ip6 = span_equal(value, SPAN("ipv6"));
}

/* Where Postfix sends mail that it does not deliver itself. */
static void take_transport(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (value.len)
        import_note(p->im,
                    "%.*s: mired passes all mail to Postfix, and Postfix sends it on by %.*s. To "
                    "pass it to the servers of the table directly: (postconf -n; cat TABLE) | "
                    "mirectl import -",
                    (int)name.len, name.at, (int)value.len, value.at);
}

static void take_relayhost(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (value.len)
        import_note(p->im, "relayhost: Postfix goes on sending mail for other sites to %.*s",
                    (int)value.len, value.at);
}

static const struct {
    const char *name;
    void (*take)(struct postfix *p, struct span name, struct span value);
} parameters[] = {
    {"myhostname", take_hostname},
    {"smtpd_error_sleep_time", take_time},
    {"smtpd_soft_error_limit", postfix_take_limits},
    {"smtpd_hard_error_limit", postfix_take_limits},
    {"mynetworks", take_networks},
    {"mydestination", take_domains},
    {"relay_domains", take_domains},
    {"virtual_mailbox_domains", take_domains},
    {"virtual_alias_domains", take_domains},
    {"local_recipient_maps", take_recipients},
    {"relay_recipient_maps", take_recipients},
    {"virtual_mailbox_maps", take_recipients},
    {"virtual_alias_maps", take_recipients},
    {"recipient_delimiter", take_delimiter},
    {"message_size_limit", take_size},
    {"transport_maps", take_transport},
    {"virtual_transport", take_transport},
    {"relayhost", take_relayhost},
    {"smtpd_tls_chain_files", take_chains},
    {"smtpd_tls_cert_file", take_certificate},
    {"inet_protocols", take_protocols},
    {"inet_interfaces", take_interfaces},
    {"smtpd_client_restrictions", postfix_take_restrictions},
    {"smtpd_helo_restrictions", postfix_take_restrictions},
    {"smtpd_sender_restrictions", postfix_take_restrictions},
    {"smtpd_relay_restrictions", postfix_take_restrictions},
    {"smtpd_recipient_restrictions", postfix_take_restrictions},
    {"smtpd_data_restrictions", postfix_take_restrictions},
    {"postscreen_dnsbl_sites", postfix_take_sites},
    {"postscreen_greet_action", postfix_take_greet},
    {"postscreen_greet_wait", postfix_take_greet_wait},
    {"postscreen_greet_ttl", postfix_take_greet_ttl},
    {"smtpd_sasl_auth_enable", take_logins},
};

/* ---- the whole ---- */

static void take_all(struct postfix *p)
{
    bool named = postfix_find(p, SPAN("myhostname")) != NULL;

    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        struct span name = span_of(parameters[i].name);
        const struct parameter *one = postfix_find(p, name);
        struct buf value = {0};
        p->steps = 0;
        if (one)
            postfix_expand(p, buf_span(&one->value), &value, 0);
        else if (named &&
                 (span_equal(name, SPAN("mydestination")) || span_equal(name, SPAN("mynetworks"))))
            postfix_expand_default(p, name, &value, 0);
        else
            continue;
        if (buf_add(&value, "", 1) == 0) { /* ended, for strtoul() */
            value.len--;
            parameters[i].take(p, name, span_trim(buf_span(&value)));
        }
        buf_free(&value);
    }
}

/* Parameters that the row of another one uses, or that only say how Postfix itself works. */
static bool is_looked_at(struct span name)
{
    static const char *const names[] = {
        "mydomain",        "myorigin",         "smtpd_tls_key_file",  "smtpd_sasl_type",
        "smtpd_sasl_path", "queue_directory",  "command_directory",   "daemon_directory",
        "data_directory",  "mail_owner",       "compatibility_level", "setgid_group",
        "mailq_path",      "newaliases_path",  "sendmail_path",       "manpage_directory",
        "html_directory",  "sample_directory", "readme_directory",    "shlib_directory",
        "meta_directory"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_equal(name, span_of(names[i])))
            return true;
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++)
        if (span_equal(name, span_of(parameters[i].name)))
            return true;
    return false;
}

static void name_rest(struct postfix *p)
{
    bool screen = false;

    for (size_t i = 0; i < p->count; i++) {
        struct span name = p->at[i].name;
        bool plain = name.len > 0;
        for (size_t k = 0; k < name.len; k++)
            plain = plain && ((name.at[k] >= 'a' && name.at[k] <= 'z') ||
                              (name.at[k] >= '0' && name.at[k] <= '9') || name.at[k] == '_');
        screen = screen || span_starts_fold(name, SPAN("postscreen_"));
        if (plain && !is_looked_at(name))
            import_rest(p->im, name);
    }
    if (screen)
        import_note(p->im, "postscreen: mired replaces it; remove its lines from master.cf, "
                           "because behind mired it would see mired's address for every client");
}

void import_postfix(struct import *im, struct span text)
{
    struct postfix p = {.im = im, .at = calloc(PARAMETERS_MAX, sizeof *p.at)};

    if (!p.at)
        return;
    postfix_read(&p, text);
    take_all(&p);
    if (im->found)
        name_rest(&p);
    if (im->found)
        import_transports(im, text);
    im->usual_backend = "smtp://127.0.0.1:10025";
    import_end_routes(im);
    im->usual_backend = NULL;
    if (im->domains.len)
        import_set(im, "mired asks Postfix which recipients exist and caches the answers",
                   "recipients \"backend\" { }");
    if (im->domains.len) {
        import_backend(im, "smtp://127.0.0.1:10025", "xclient = true ",
                       "XCLIENT tells Postfix, behind mired, each client's address");
        import_note(im, "mired takes port 25. In master.cf replace the smtp inet line with these:");
        import_note(im, "  127.0.0.1:10025 inet n - y - - smtpd");
        import_note(im, "    -o smtpd_authorized_xclient_hosts=static:all");
        import_note(im, "    -o smtpd_error_sleep_time=0");
        import_note(im, "    -o smtpd_tls_auth_only=no");
        import_note(
            im, "static:all means 127.0.0.1 here, because only this machine reaches that listener; "
                "with error sleeps Postfix would delay mired's lookups for good mail after other "
                "clients' errors; mired requires TLS before logins, this listener does not");
    }
    for (size_t i = 0; i < p.count; i++)
        buf_free(&p.at[i].value);
    free(p.at);
}
