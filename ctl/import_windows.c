/* Settings of Windows' SMTP service (a registry export) and of Exchange's receive connectors (the
 * output of Get-ReceiveConnector | Format-List); see import_part.h. */
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "import_part.h"

void import_registry(struct import *im, struct span text)
{
    struct span value;

    while (text.len) {
        struct span line = import_line(&text);
        if (import_is(line, "\"TarpitTime\"", '=', &value) &&
            span_starts_fold(value, SPAN("dword:")))
            import_time(im, "Windows' TarpitTime", import_number(span_after(value, 6), 16));
        else if (line.len > 2 && line.at[0] == '"')
            import_rest(im, span_first(span_after(line, 1), span_find(span_after(line, 1), '"')));
    }
    import_note(im,
                "the SMTP service's relay list, domains and size are in its metabase, which this "
                "export does not have; mirectl import MetaBase.xml converts the relay list");
}

/* "00:00:05", possibly with days and a dot before it. */
static unsigned long clock_seconds(struct span text)
{
    size_t dot = span_find(text, '.'), colon = span_find(text, ':');
    unsigned long seconds = 0, days = 0;

    if (dot < colon && colon < text.len) {
        days = import_number(span_first(text, dot), 10);
        text = span_after(text, dot + 1);
    }
    for (int part = 0; part < 3 && text.len; part++) {
        struct span digits = span_first(text, span_find(text, ':'));
        seconds = seconds * 60 + import_number(digits, 10);
        text = span_after(text, digits.len + (digits.len < text.len));
    }
    return seconds + days * 86400;
}

static bool is_everyone(struct span ranges)
{
    return import_contains(ranges, "0.0.0.0-255.255.255.255");
}

/* "{0.0.0.0:25, [::]:25}". */
static void take_bindings(struct import *im, struct span list)
{
    char text[ADDR_TEXT], shown[ADDR_TEXT + 2];
    struct addr a;

    im->found++;
    for (struct span word; (word = import_word(&list, ", \t{}")).len;) {
        if (!addr_parse_port(word, &a) || a.port != 25) {
            import_note(im, "the binding %.*s is not converted: only port 25 is converted",
                        (int)word.len, word.at);
            continue;
        }
        snprintf(shown, sizeof shown, a.family == ADDR_IP6 ? "[%s]" : "%s", addr_format(&a, text));
        import_listen(im, shown, "its Bindings");
    }
}

/* "36 MB (37,748,736 bytes)". */
static void take_size(struct import *im, struct span value)
{
    size_t open = span_find(value, '(');
    unsigned long octets = 0;

    im->found++;
    for (size_t i = open; i < value.len && octets < 4000000000UL; i++)
        if (value.at[i] >= '0' && value.at[i] <= '9')
            octets = octets * 10 + (unsigned long)(value.at[i] - '0');
    if (octets < 1024 || octets > 4000000000UL)
        import_note(im, "MaxMessageSize %.*s is not converted", (int)value.len, value.at);
    else if (octets > im->size)
        im->size = octets;
}

static void take_fqdn(struct import *im, struct span value)
{
    char title[IMPORT_TITLE], host[IMPORT_HOST];

    if (im->backed || !import_contains(value, ".") || !import_host(value, host))
        return;
    im->found++;
    snprintf(title, sizeof title, "smtp://%s:25", host);
    import_backend(im, title, "",
                   "its Fqdn: Exchange, if mired runs on another machine. On the same machine give "
                   "the connector another port and set smtp://127.0.0.1:PORT here");
}

/* From Get-AcceptedDomain, where DomainName comes before it. */
static void take_domain_type(struct import *im, struct span value)
{
    im->found++;
    if (!span_equal(value, SPAN("Authoritative")))
        import_note(im,
                    "the last domain is %.*s: recipients may exist that Active Directory does "
                    "not have; let Exchange say who exists (recipients \"backend\")",
                    (int)value.len, value.at);
}

static const char *const others[] = {"PermissionGroups",
                                     "RequireTLS",
                                     "MaxInboundConnection",
                                     "Banner",
                                     "MaxRecipientsPerMessage",
                                     "MaxInboundConnectionPerSource",
                                     "ConnectionTimeout",
                                     "ConnectionInactivityTimeout",
                                     "MaxProtocolErrors",
                                     "TlsCertificateName",
                                     "MaxHeaderSize",
                                     "MessageRateLimit",
                                     "MaxConcurrentMailboxDeliveries",
                                     "MessageExpirationTimeout",
                                     "MaxPerDomainOutboundConnections",
                                     "InternalDNSServers",
                                     "ExternalDNSServers",
                                     "PickupDirectoryPath",
                                     "ConnectivityLogEnabled",
                                     "AntispamAgentsEnabled",
                                     "MessageRetryInterval",
                                     "MatchSubDomains"};

static void take_rest(struct import *im, struct span line)
{
    struct span name = span_trim(span_first(line, span_find(line, ':')));

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (span_equal_fold(name, span_of(others[i])) &&
            !(im->rest.len && memmem(im->rest.at, im->rest.len, name.at, name.len)))
            import_rest(im, name);
}

void import_exchange(struct import *im, struct span text)
{
    bool delayed = false, logins = false, trusted = false, named = false;
    struct span value;

    while (text.len) {
        struct span line = import_line(&text);
        if (import_is(line, "Identity", ':', &value)) {
            import_note(im, "connector %.*s", (int)value.len, value.at);
        } else if (import_is(line, "TarpitInterval", ':', &value)) {
            import_time(im, "its TarpitInterval", clock_seconds(value));
            delayed = true;
        } else if (import_is(line, "RemoteIPRanges", ':', &value)) {
            named |= !trusted && !is_everyone(value);
            if (is_everyone(value))
                im->found++;
            else if (trusted)
                import_relay(im, value);
            else
                import_exempt(im, value);
        } else if (import_is(line, "AuthMechanism", ':', &value)) {
            logins |= import_contains(value, "BasicAuth");
            trusted = import_contains(value, "ExternalAuthoritative");
        } else if (import_is(line, "Bindings", ':', &value)) {
            take_bindings(im, value);
        } else if (import_is(line, "MaxMessageSize", ':', &value)) {
            take_size(im, value);
        } else if (import_is(line, "Fqdn", ':', &value)) {
            take_fqdn(im, value);
        } else if (import_is(line, "DomainName", ':', &value)) {
            import_domains(im, value);
        } else if (import_is(line, "DomainType", ':', &value)) {
            take_domain_type(im, value);
        } else if (import_is(line, "InternalSMTPServers", ':', &value)) {
            import_exempt(im, value);
        } else if (import_is(line, "MaxOutboundConnections", ':', &value)) {
            im->found++;
            import_note(im, "Get-TransportService is about the mail that Exchange sends: that "
                            "stays with Exchange");
        } else {
            take_rest(im, line);
        }
    }
    if (logins)
        import_set(im, "BasicAuth: logins are passed through to Exchange", "auth \"backend\" { }");
    if (im->size)
        import_set(im, "the largest MaxMessageSize of all connectors: announced with SIZE",
                   "size_max = %lu", im->size);
    import_note(im, "still missing: recipients, such as \"ldap\"; see docs/recipes/exchange.md");
    if (named)
        import_note(im, "networks of connectors that accept mail for any recipient without a login "
                        "(ms-Exch-SMTP-Accept-Any-Recipient) belong in relay, too");
    if (delayed)
        import_note(im, "on Exchange: Set-ReceiveConnector -TarpitInterval 0, because mired delays "
                        "clients now");
}
