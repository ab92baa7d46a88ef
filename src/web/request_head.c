/* Checks a request's header before the library sees it; see request_head.h. Anything doubtful is
 * refused, because people do not type headers by hand, and a header that two parsers read
 * differently is an attack. */
#include "web/request_head.h"

#include <stdbool.h>
#include <string.h>

size_t request_head_length(struct span octets)
{
    for (size_t i = 1; i < octets.len; i++) {
        bool empty = octets.at[i] == '\n' &&
                     (octets.at[i - 1] == '\n' ||
                      (i >= 3 && octets.at[i - 1] == '\r' && octets.at[i - 2] == '\n'));
        if (empty)
            return i + 1;
    }
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110 5.6.2 */
static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.at[i]) && !(s.at[i] && strchr("!#$%&'*+-.^_`|~", s.at[i])))
            return false;
    return s.len != 0;
}

/* The first line of *rest without its end; false: it does not end in CRLF. */
static bool next_line(struct span *rest, struct span *line)
{
    size_t end = span_find(*rest, '\n');

    if (end == rest->len || end == 0 || rest->at[end - 1] != '\r')
        return false;
    *line = span_first(*rest, end - 1);
    *rest = span_after(*rest, end + 1);
    return true;
}

/* METHOD SP TARGET SP HTTP/1.x */
static const char *request_line(struct span line, bool *host_needed)
{
    struct span method = span_first(line, span_find(line, ' '));
    struct span rest = span_after(line, method.len + 1);
    struct span target = span_first(rest, span_find(rest, ' '));
    struct span version = span_after(rest, target.len + 1);

    if (!is_token(method) || target.len == 0 || target.len + 1 >= rest.len)
        return "invalid request line";
    for (size_t i = 0; i < target.len; i++)
        if (target.at[i] <= ' ' || target.at[i] > '~')
            return "invalid request target";
    *host_needed = span_equal(version, SPAN("HTTP/1.1"));
    if (!*host_needed && !span_equal(version, SPAN("HTTP/1.0")))
        return "only HTTP/1.1 and HTTP/1.0 are supported";
    return NULL;
}

static struct span trim(struct span s)
{
    while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = span_after(s, 1);
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* RFC 3986 3.2.2, 3.2.3: a name, an IPv4 address or [an IPv6 address], and maybe a port. */
static bool take_host(struct span value, struct span *host)
{
    struct span port;

    if (value.len && value.at[0] == '[') {
        size_t end = span_find(value, ']');
        struct addr a;
        *host = span_after(span_first(value, end), 1);
        if (end == value.len || !addr_parse(*host, &a) || a.family == ADDR_NONE)
            return false;
        port = span_after(value, end + 1);
    } else {
        *host = span_first(value, span_find(value, ':'));
        port = span_after(value, host->len);
        for (size_t i = 0; i < host->len; i++)
            if (!is_alnum(host->at[i]) && !(host->at[i] && strchr("-._~", host->at[i])))
                return false;
    }
    if (port.len && port.at[0] != ':')
        return false;
    for (size_t i = 1; i < port.len; i++)
        if (!is_digit(port.at[i]) || i > 5)
            return false;
    return host->len > 0;
}

static bool take_length(struct span value, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.at[i]) || i >= 15)
            return false;
        *out = *out * 10 + (uint64_t)(value.at[i] - '0');
    }
    return value.len > 0;
}

struct counts {
    unsigned hosts, lengths, codings;
};

static const char *field(struct span line, struct counts *seen, struct request_head *out)
{
    struct span name = span_first(line, span_find(line, ':'));
    struct span value = trim(span_after(line, name.len + 1));

    if (line.at[0] == ' ' || line.at[0] == '\t')
        return "a folded header line (RFC 9112 5.2)";
    if (name.len == line.len || !is_token(name))
        return "a header line is a name, a colon without space before it, and a value";
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.at[i] < ' ' && value.at[i] != '\t')
            return "a control character in a header line";
    if (span_equal_fold(name, SPAN("Host"))) {
        if (seen->hosts++)
            return "more than one Host";
        if (!take_host(value, &out->host))
            return "Host is a name or an address, and maybe a port";
    } else if (span_equal_fold(name, SPAN("Content-Length"))) {
        if (seen->lengths++ || !take_length(value, &out->body))
            return "a wrong Content-Length";
    } else if (span_equal_fold(name, SPAN("Transfer-Encoding"))) {
        seen->codings++;
    }
    return NULL;
}

const char *request_head_parse(struct span head, struct request_head *out)
{
    struct counts seen = {0};
    bool host_needed = false;
    struct span line;
    const char *wrong;

    *out = (struct request_head){0};
    if (head.len > 2 && head.at[0] == '\r' && head.at[1] == '\n') /* RFC 9112 2.2 */
        head = span_after(head, 2);
    if (!next_line(&head, &line))
        return "lines end in CR LF";
    if ((wrong = request_line(line, &host_needed)))
        return wrong;
    for (;;) {
        if (!next_line(&head, &line))
            return "lines end in CR LF";
        if (line.len == 0)
            break;
        if ((wrong = field(line, &seen, out)))
            return wrong;
    }
    if (host_needed && !seen.hosts)
        return "a Host is needed (RFC 9112 3.2)";
    if (seen.codings)
        return "no body is allowed here";
    return NULL;
}

bool request_head_is_for_us(struct span host, const struct addr *reached, char *const *names,
                            size_t count)
{
    struct addr a;

    if (host.len == 0)
        return true;
    if (addr_parse(host, &a)) {
        if (addr_is_loopback(&a) || addr_equal(&a, reached))
            return true;
    } else if (host.len > 1 && host.at[host.len - 1] == '.') {
        host.len--;
    }
    if (span_equal_fold(host, SPAN("localhost")))
        return true;
    for (size_t i = 0; i < count; i++)
        if (span_equal_fold(host, span_of(names[i])))
            return true;
    return false;
}
