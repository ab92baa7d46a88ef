/* Windows' SMTP service in IIS' metabase (MetaBase.xml): its elements IIsSmtpService, IIsSmtpServer
 * and IIsSmtpDomain, with attributes. Elements with other names belong to other services and are
 * skipped, as is everything else between < and >. No more of XML is needed. See import_part.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "import_part.h"

/* Bits of RouteAction. */
enum { ROUTE_DROP = 1, ROUTE_HOST = 2, ROUTE_ALIAS = 16, ROUTE_DELIVER = 32, ROUTE_DEFAULT = 64 };
enum { ROUTE_RELAY = 4096, ROUTE_LOCAL = ROUTE_DROP | ROUTE_ALIAS | ROUTE_DELIVER | ROUTE_DEFAULT };

/* If a virtual server has no value of its own, the service's value counts: the last one in the file
 * is used. */
struct metabase {
    struct import *im;
    struct span name;
    unsigned long size; /* 0: unlimited */
    bool sized;
    char host[IMPORT_HOST]; /* the smart host, which gets all mail for other domains */
    char port[8];
    bool bound; /* ServerBindings were said */
};

/* ---- reading ---- */

/* The next attribute of an element; false at its end. */
static bool next_attribute(struct span *element, struct span *name, struct span *value)
{
    size_t sign = span_find(*element, '=');
    struct span rest = span_after(*element, sign + 1);
    size_t open = span_find(rest, '"');

    if (sign == element->len || open == rest.len)
        return false;
    struct span before = span_first(*element, sign);
    *name = import_word(&before, " \t\r\n");
    rest = span_after(rest, open + 1);
    *value = span_first(rest, span_find(rest, '"'));
    *element = span_after(rest, value->len + 1);
    return true;
}

static struct span attribute(struct span element, const char *wanted)
{
    struct span name, value;

    while (next_attribute(&element, &name, &value))
        if (span_equal(name, span_of(wanted)))
            return span_trim(value);
    return (struct span){0};
}

/* The text between "<NAME" and ">"; a ">" within quotes does not end it. */
static struct span next_element(struct span *text, struct span *name)
{
    bool quoted = false;
    size_t n = 0;

    *text = span_after(*text, span_find(*text, '<') + 1);
    while (n < text->len && (quoted || text->at[n] != '>')) {
        quoted ^= text->at[n] == '"';
        n++;
    }
    struct span element = span_first(*text, n);
    *name = import_word(&element, " \t\r\n/");
    *text = span_after(*text, n);
    return element;
}

/* ---- the server ---- */

static void take_name(struct metabase *m, struct span value)
{
    m->im->found++;
    if (import_is_domain(value) && memchr(value.at, '.', value.len))
        m->name = value;
}

static void take_size(struct metabase *m, struct span value)
{
    m->im->found++;
    m->sized = true;
    m->size = import_number(value, 10);
}

/* "10.0.0.5:25:", or ":25:" for all addresses; several one a line. */
static void take_bindings(struct metabase *m, struct span list)
{
    char text[ADDR_TEXT];
    struct addr a;

    m->im->found++;
    for (struct span word; (word = import_word(&list, " \t\r\n")).len;) {
        size_t colon = span_find(word, ':');
        struct span host = span_first(word, colon), port = span_after(word, colon + 1);
        if (!span_equal(span_first(port, span_find(port, ':')), SPAN("25")))
            import_note(m->im, "the binding %.*s is not converted: only port 25 is converted",
                        (int)word.len, word.at);
        else if (host.len && addr_parse(host, &a) && a.family == ADDR_IP4)
            import_listen(m->im, addr_format(&a, text), "ServerBindings");
        else if (!host.len)
            import_listen(m->im, "0.0.0.0", "ServerBindings: all addresses");
    }
    m->bound = true;
}

static void take_smart_host(struct metabase *m, struct span value)
{
    m->im->found++;
    if (value.len && !import_host(value, m->host))
        import_note(m->im, "SmartHost %.*s is not converted: expected a name or an address",
                    (int)value.len, value.at);
}

static void take_port(struct metabase *m, struct span value)
{
    unsigned long port = import_number(value, 10);

    if (port > 0 && port < 65536)
        snprintf(m->port, sizeof m->port, "%lu", port);
}

static void take_auth(struct metabase *m, struct span value)
{
    m->im->found++;
    if (import_contains(value, "AuthBasic"))
        import_note(m->im, "AuthBasic: Windows checked logins against its accounts. mired checks "
                           "them with `auth`: a file, Dovecot, or the server behind (\"backend\")");
}

static void take_tls(struct metabase *m, struct span value)
{
    m->im->found++;
    if (import_contains(value, "AccessSSL"))
        import_note(m->im, "TLS is required there: export the certificate from Windows' store with "
                           "its key (PFX), convert it to PEM, and name it: tls { certificate = "
                           "\"/etc/mired/tls.pem\"  key = \"/etc/mired/tls.key\" }");
}

static void take_connections(struct metabase *m, struct span value)
{
    m->im->found++;
    import_note(m->im,
                "MaxConnections %.*s is not converted: mired limits what one client may have, and "
                "takes as many connections as the machine can",
                (int)value.len, value.at);
}

static void take_relay(struct metabase *m, struct span value)
{
    struct buf text = {0};

    if (value.len && buf_addf(&text, "RelayIpList=\"%.*s\"", (int)value.len, value.at) == 0)
        import_relay_list(m->im, buf_span(&text));
    buf_free(&text);
}

static const struct {
    const char *name;
    void (*take)(struct metabase *m, struct span value); /* NULL: named at the end */
} rows[] = {
    {"FullyQualifiedDomainName", take_name},
    {"MaxMessageSize", take_size},
    {"ServerBindings", take_bindings},
    {"SmartHost", take_smart_host},
    {"RemoteSmtpPort", take_port},
    {"AuthFlags", take_auth},
    {"AccessFlags", take_tls},
    {"AccessSSLFlags", take_tls},
    {"MaxConnections", take_connections},
    {"RelayIpList", take_relay},
    {"RouteUserName", NULL},
    {"IPSecurity", NULL},
    {"RelayForAuth", NULL},
    {"ConnectionTimeout", NULL},
    {"MaxRecipients", NULL},
    {"MaxSessionSize", NULL},
    {"HopCount", NULL},
    {"MasqueradeDomain", NULL},
    {"SmartHostType", NULL},
    {"DomainRouting", NULL},
    {"EnableReverseDnsLookup", NULL},
    {"AlwaysUseSsl", NULL},
};

static void take_server(struct metabase *m, struct span element)
{
    struct span name, value;

    while (next_attribute(&element, &name, &value))
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (span_equal(name, span_of(rows[i].name))) {
                if (rows[i].take)
                    rows[i].take(m, span_trim(value));
                else if (!(m->im->rest.len &&
                           memmem(m->im->rest.at, m->im->rest.len, name.at, name.len)))
                    import_rest(m->im, name);
            }
}

/* ---- domains ---- */

/* Mail for that domain goes to a server of its own. */
static void take_route(struct metabase *m, struct span domain, struct span host)
{
    char where[IMPORT_HOST], title[IMPORT_TITLE] = "";

    if (host.len && import_host(host, where))
        snprintf(title, sizeof title, "smtp://%s:%s", where, m->port);
    if (!title[0] || !import_route(m->im, title, domain))
        import_note(m->im, "mail for %.*s went %s%.*s: the server behind must send it on",
                    (int)domain.len, domain.at, host.len ? "to " : "to its MX", (int)host.len,
                    host.at);
}

static void take_domain(struct metabase *m, struct span element)
{
    struct span place = attribute(element, "Location"),
                host = attribute(element, "RouteActionString");
    unsigned long action = import_number(attribute(element, "RouteAction"), 10);
    size_t from = place.len;

    while (from > 0 && place.at[from - 1] != '/')
        from--;
    struct span domain = span_after(place, from);
    if (from == 0 || span_equal_fold(domain, SPAN("Domain"))) /* the folder of all domains */
        return;
    m->im->found++;
    if (action & (ROUTE_LOCAL | ROUTE_RELAY))
        import_domains(m->im, domain);
    else
        import_note(m->im,
                    "%.*s is a route for mail of your own: it is not in domains, and only relay "
                    "and users that log in may send there",
                    (int)domain.len, domain.at);
    if (!(action & ROUTE_LOCAL))
        take_route(m, domain, host);
}

void import_metabase(struct import *im, struct span text)
{
    struct metabase m = {.im = im, .port = "25"};
    struct span name;
    char title[IMPORT_TITLE];

    while (text.len) {
        struct span element = next_element(&text, &name);
        if (span_equal(name, SPAN("IIsSmtpServer")) || span_equal(name, SPAN("IIsSmtpService")))
            take_server(&m, element);
        else if (span_equal(name, SPAN("IIsSmtpDomain")))
            take_domain(&m, element);
    }
    if (m.name.len)
        import_set(im, "FullyQualifiedDomainName: how mired greets", "hostname = \"%.*s\"",
                   (int)m.name.len, m.name.at);
    if (m.sized && m.size == 0)
        import_set(im, "MaxMessageSize is unlimited there; this is mired's maximum",
                   "size_max = 4000000000");
    if (m.size >= 1024)
        import_set(im, "MaxMessageSize: announced with SIZE", "size_max = %lu", m.size);
    snprintf(title, sizeof title, "smtp://%s:%s", m.host, m.port);
    im->usual_backend = title;
    import_end_routes(im);
    if (m.host[0]) {
        import_backend(im, title, "", "SmartHost: the server that sent the mail on");
    } else {
        import_note(im, "no SmartHost: the service itself sent mail to other sites. mired has no "
                        "queue, so a mail server behind it has to");
    }
    if (im->domains.len)
        import_note(im, "still missing: who exists in these domains (recipients); see "
                        "docs/recipes/windows.md");
    im->usual_backend = NULL;
    import_note(im, "the tarpit's time is in the registry: mirectl import FILE.reg converts it");
}
