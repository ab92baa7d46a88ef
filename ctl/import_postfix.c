/* Settings of Postfix (the output of postconf -n, or main.cf itself); see import_part.h.
 *
 * The text is read into a table of parameters first, for their values name each other ($myhostname)
 * and their order means nothing. Then a row for each parameter that mired has something for says
 * what becomes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_part.h"

enum { PARAMETERS_MAX = 2048, VALUE_MAX = 8192, DEPTH_MAX = 5, STEPS_MAX = 10000 };

struct parameter {
    struct span name;
    struct buf value; /* as it stands there */
};

struct postfix {
    struct import *im;
    struct parameter *at;
    size_t count;
    unsigned steps; /* of expand(): names may name each other a great many times */
};

/* ---- the table ---- */

static const struct parameter *find(const struct postfix *p, struct span name)
{
    for (size_t i = p->count; i > 0; i--) /* the last one holds */
        if (span_equal(p->at[i - 1].name, name))
            return &p->at[i - 1];
    return NULL;
}

/* A line that begins with a space goes on with the one before. */
static void read_table(struct postfix *p, struct span text)
{
    while (text.len && p->count < PARAMETERS_MAX) {
        bool more = text.at[0] == ' ' || text.at[0] == '\t';
        struct span line = import_line(&text);
        if (line.len == 0 || line.at[0] == '#')
            continue;
        if (more && p->count) {
            struct buf *value = &p->at[p->count - 1].value;
            if (value->len + line.len < VALUE_MAX)
                buf_addf(value, " %.*s", (int)line.len, line.at);
            continue;
        }
        size_t sign = span_find(line, '=');
        if (sign == line.len)
            continue;
        struct parameter *one = &p->at[p->count++];
        struct span value = span_trim(span_after(line, sign + 1));
        one->name = span_trim(span_first(line, sign));
        if (value.len < VALUE_MAX)
            buf_add(&one->value, value.at, value.len);
    }
}

static void expand(struct postfix *p, struct span text, struct buf *out, int depth);

/* What Postfix takes when nothing is set. */
static void expand_default(struct postfix *p, struct span name, struct buf *out, int depth)
{
    if (span_equal(name, SPAN("myorigin"))) {
        expand(p, SPAN("$myhostname"), out, depth);
    } else if (span_equal(name, SPAN("mydestination"))) {
        expand(p, SPAN("$myhostname, localhost.$mydomain, localhost"), out, depth);
    } else if (span_equal(name, SPAN("smtpd_tls_key_file"))) {
        expand(p, SPAN("$smtpd_tls_cert_file"), out, depth);
    } else if (span_equal(name, SPAN("mydomain"))) {
        const struct parameter *host = find(p, SPAN("myhostname"));
        struct span whole = host ? buf_span(&host->value) : SPAN("");
        size_t dot = span_find(whole, '.');
        if (dot < whole.len && span_find(whole, '$') == whole.len)
            buf_add(out, whole.at + dot + 1, whole.len - dot - 1);
        else
            buf_add(out, "localdomain", 11);
    } else {
        buf_addf(out, "$%.*s", (int)name.len, name.at);
    }
}

/* $name, ${name} and $(name) become their values; what is not known keeps its sign. */
static void expand(struct postfix *p, struct span text, struct buf *out, int depth)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

    for (size_t i = 0; i < text.len && out->len < VALUE_MAX && p->steps++ < STEPS_MAX;) {
        struct span rest = span_after(text, i);
        if (rest.at[0] != '$') {
            size_t len = span_find(rest, '$');
            buf_add(out, rest.at, len);
            i += len;
            continue;
        }
        bool closed = rest.len > 1 && (rest.at[1] == '{' || rest.at[1] == '(');
        size_t from = closed ? 2 : 1, len = 0;
        while (from + len < rest.len && rest.at[from + len] && strchr(letters, rest.at[from + len]))
            len++;
        struct span name = {rest.at + from, len};
        size_t end = from + len;
        bool good =
            len && depth < DEPTH_MAX &&
            (!closed || (end < rest.len && rest.at[end] == (rest.at[1] == '{' ? '}' : ')')));
        if (!good) { /* ${name?text} and what is none */
            buf_add(out, "$", 1);
            i++;
            continue;
        }
        const struct parameter *one = find(p, name);
        if (one)
            expand(p, buf_span(&one->value), out, depth + 1);
        else
            expand_default(p, name, out, depth + 1);
        i += end + closed;
    }
}

/* ---- what becomes of a parameter; `value` is expanded ---- */

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
                "-o smtpd_error_sleep_time=0 for mired's listener in master.cf: mired waits "
                "now, and Postfix would keep mired's lookups waiting, those of good mail too");
}

static void take_networks(struct postfix *p, struct span name, struct span value)
{
    import_exempt(p->im, value);
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
        import_set(p->im, "message_size_limit is none there; this is as much as mired takes",
                   "size_max = 4000000000");
    else if (size >= 1024)
        import_set(p->im, "message_size_limit: told early, with SIZE", "size_max = %lu", size);
}

static void take_delimiter(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (import_is_plain(value) && value.len < 16 && !import_contains(value, "@"))
        import_set(p->im, "user+tag is user", "recipient_delimiter = \"%.*s\"", (int)value.len,
                   value.at);
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
    import_set(p->im, "the same socketmap is asked who exists",
               "recipients \"socketmap\" { path = \"%.*s\"  map = \"%.*s\" }", (int)path.len,
               path.at, (int)map.len, map.at);
    return true;
}

/* Who exists: Postfix itself is asked, and looks into all of its tables; a socketmap can be asked
 * by mired too, and spares Postfix the questions. */
static void take_recipients(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (value.len == 0) {
        import_note(p->im,
                    "%.*s is empty: Postfix takes mail for every name there, so mired can "
                    "know no better",
                    (int)name.len, name.at);
        return;
    }
    for (struct span table; (table = import_word(&value, ", \t")).len;)
        if (!span_starts_fold(table, SPAN("socketmap:")) || !take_socketmap(p, table))
            import_note(p->im, "%.*s: Postfix is asked, and looks into %.*s", (int)name.len,
                        name.at, (int)table.len, table.at);
}

static void take_certificate(struct postfix *p, struct span name, struct span value)
{
    struct buf key = {0};

    expand(p, SPAN("$smtpd_tls_key_file"), &key, 0);
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
    const struct parameter *kind = find(p, SPAN("smtpd_sasl_type"));
    bool dovecot = kind && span_equal(buf_span(&kind->value), SPAN("dovecot"));
    struct buf path = {0};

    p->im->found++;
    expand(p, SPAN("$smtpd_sasl_path"), &path, 0);
    struct span where = buf_span(&path);
    if (!span_equal(value, SPAN("yes")) || !import_is_plain(where) || !dovecot)
        import_note(p->im, "logins: auth \"backend\" { } hands them through to Postfix");
    else if (where.at[0] == '/')
        import_set(p->im, "smtpd_sasl_path: Dovecot checks logins",
                   "auth \"dovecot\" { path = \"%.*s\" }", (int)where.len, where.at);
    else if (span_find(where, ':') == where.len)
        import_set(p->im, "smtpd_sasl_path: Dovecot checks logins; a path below queue_directory",
                   "auth \"dovecot\" { path = \"/var/spool/postfix/%.*s\" }", (int)where.len,
                   where.at);
    else
        import_note(p->im, "logins: auth \"dovecot\" wants a path, not %.*s", (int)where.len,
                    where.at);
    buf_free(&path);
}

static void take_limits(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    import_note(p->im,
                "%.*s has no like: mired spaces what a client hears over all of its "
                "connections (pace) and ends nobody's session for errors",
                (int)name.len, name.at);
}

static const struct {
    const char *name;
    void (*take)(struct postfix *p, struct span name, struct span value);
} parameters[] = {
    {"myhostname", take_hostname},
    {"smtpd_error_sleep_time", take_time},
    {"smtpd_soft_error_limit", take_limits},
    {"smtpd_hard_error_limit", take_limits},
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
    {"smtpd_tls_cert_file", take_certificate},
    {"smtpd_sasl_auth_enable", take_logins},
};

/* ---- the whole ---- */

static void take_all(struct postfix *p)
{
    bool named = find(p, SPAN("myhostname")) != NULL;

    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        struct span name = span_of(parameters[i].name);
        const struct parameter *one = find(p, name);
        struct buf value = {0};
        p->steps = 0;
        if (one)
            expand(p, buf_span(&one->value), &value, 0);
        else if (named && span_equal(name, SPAN("mydestination")))
            expand_default(p, name, &value, 0);
        else
            continue;
        if (buf_add(&value, "", 1) == 0) { /* ended, for strtoul() */
            value.len--;
            parameters[i].take(p, name, span_trim(buf_span(&value)));
        }
        buf_free(&value);
    }
}

void import_postfix(struct import *im, struct span text)
{
    struct postfix p = {.im = im, .at = calloc(PARAMETERS_MAX, sizeof *p.at)};

    if (!p.at)
        return;
    read_table(&p, text);
    take_all(&p);
    if (im->domains.len) {
        import_set(im, "who exists is Postfix's to say; its answers are kept for a while",
                   "recipients \"backend\" { }");
        import_note(im,
                    "mired takes port 25; in master.cf Postfix gets 127.0.0.1:10025 inet n - n - "
                    "- smtpd in place of smtp inet, and mired.conf backend "
                    "\"smtp://127.0.0.1:10025\" { xclient = true } with "
                    "smtpd_authorized_xclient_hosts = 127.0.0.1 there; and -o "
                    "smtpd_error_sleep_time=0 on that listener, for Postfix would keep mired's "
                    "lookups of good mail waiting after others' errors");
    }
    for (size_t i = 0; i < p.count; i++)
        buf_free(&p.at[i].value);
    free(p.at);
}
