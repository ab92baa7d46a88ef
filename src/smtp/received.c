/* Formats the Received: line. It computes the date from its argument, because this room reads no
 * clock and knows no time zone. It cuts and cleans the name that the client gave. Pure; runs in
 * workers. */
#include "smtp/received.h"

#include <errno.h>
#include <string.h>

#include "smtp/session.h"
#include "smtp/text.h"

enum { HELO_SHOWN_MAX = 255, LOGIN_SHOWN_MAX = 255 };

const char *received_protocol(uint16_t flags)
{
    /* [LMTP][UTF8][TLS and AUTH] */
    static const char *const extended[2][2][4] = {
        {{"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"},
         {"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"}},
        {{"LMTP", "LMTPA", "LMTPS", "LMTPSA"},
         {"UTF8LMTP", "UTF8LMTPA", "UTF8LMTPS", "UTF8LMTPSA"}},
    };
    if (!(flags & SMTP_ESMTP))
        return "SMTP";
    unsigned security = (flags & SMTP_TLS_ON ? 2 : 0) + (flags & SMTP_AUTHENTICATED ? 1 : 0);
    return extended[flags & SMTP_LMTP ? 1 : 0][flags & SMTP_UTF8 ? 1 : 0][security];
}

const char *received_date(uint64_t wall_ms, char text[RECEIVED_DATE])
{
    static const char *const months[] = {"Mar", "Apr", "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"};
    static const char *const weekdays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    uint64_t seconds = wall_ms / 1000, day = seconds / 86400;
    unsigned of_day = (unsigned)(seconds % 86400);
    /* Days since 1 March 0000, in eras of 400 years: years from March end in the leap day. */
    uint64_t days = day + 719468, era = days / 146097;
    unsigned doe = (unsigned)(days % 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned month = (5 * doy + 2) / 153;
    unsigned mday = doy - (153 * month + 2) / 5 + 1;
    uint64_t year = era * 400 + yoe + (month >= 10 ? 1 : 0);
    char *at = stpcpy(text, weekdays[day % 7]);
    at = write_decimal(mday, 1, stpcpy(at, ", "));
    at = stpcpy(stpcpy(at, " "), months[month]);
    at = write_decimal(year, 4, stpcpy(at, " "));
    at = write_decimal(of_day / 3600, 2, stpcpy(at, " "));
    at = write_decimal(of_day / 60 % 60, 2, stpcpy(at, ":"));
    at = write_decimal(of_day % 60, 2, stpcpy(at, ":"));
    strcpy(at, " +0000");
    return text;
}

/* Characters of domains and literals stay, all others become '?'. Never writes an empty name. */
static int add_helo(struct span helo, struct buf *out)
{
    char clean[HELO_SHOWN_MAX];
    helo = span_first(helo, sizeof clean);
    if (!helo.len)
        return buf_add_span(out, SPAN("unknown"));
    for (size_t i = 0; i < helo.len; i++) {
        char c = helo.at[i];
        bool fine = text_is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' ||
                    c == ']';
        clean[i] = fine ? c : '?';
    }
    return buf_add(out, clean, helo.len);
}

/* Whether the address has nothing that could end a line or a header. Addresses from path_parse()
 * never do; this is for all others. */
static bool may_be_shown(struct span address)
{
    for (struct span rest = address; rest.len;) {
        size_t n = text_printable(rest);
        if (!n)
            return false;
        rest = span_after(rest, n);
    }
    return address.len > 0;
}

/* Adds the account as a comment (RFC 5322 3.2.2), without the characters that would end it. */
static int add_login(struct span login, struct buf *out)
{
    if (!may_be_shown(login) || login.len > LOGIN_SHOWN_MAX)
        return 0;
    if (buf_add_span(out, SPAN("\r\n\t(authenticated as ")))
        return -ENOMEM;
    for (size_t i = 0; i < login.len; i++) {
        char c = login.at[i];
        if (buf_add(out, c == '(' || c == ')' || c == '\\' ? "?" : &c, 1))
            return -ENOMEM;
    }
    return buf_add_span(out, SPAN(")"));
}

static int add_recipient(struct span address, struct buf *out)
{
    if (!may_be_shown(address))
        return 0;
    if (buf_add_span(out, SPAN("\r\n\tfor <")) || buf_add_span(out, address))
        return -ENOMEM;
    return buf_add_span(out, SPAN(">"));
}

static int add(const char *text, struct buf *out)
{
    return buf_add_span(out, span_of(text));
}

static int add_all(const struct received_from *from, uint64_t wall_ms, struct buf *out)
{
    char client[ADDR_TEXT], date[RECEIVED_DATE];
    if (add("Received: from ", out) || add_helo(from->helo, out) || add(" (", out) ||
        add(addr_format_literal(&from->client, client), out) || add(")", out) ||
        add_login(from->login, out))
        return -ENOMEM;
    if (add("\r\n\tby ", out) || add(from->hostname, out) || add(" with ", out) ||
        add(received_protocol(from->flags), out) || add(" id ", out) || add(from->id, out))
        return -ENOMEM;
    if (add_recipient(from->only_recipient, out))
        return -ENOMEM;
    return add(";\r\n\t", out) || add(received_date(wall_ms, date), out) || add("\r\n", out)
               ? -ENOMEM
               : 0;
}

int received_header(const struct received_from *from, uint64_t wall_ms, struct buf *out)
{
    enum { USUAL = 384 }; /* octets, so that the block does not grow three times */
    const uint32_t start = out->len;
    if (buf_room(out, USUAL) && !add_all(from, wall_ms, out))
        return 0;
    out->len = start;
    return -ENOMEM;
}
