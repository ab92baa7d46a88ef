/* The table of Postfix's parameters, and their values without references to each other; see
 * import_postfix_part.h. */
#include <string.h>

#include "import_postfix_part.h"

enum { VALUE_MAX = 8192, DEPTH_MAX = 5, STEPS_MAX = 10000 };

const struct parameter *postfix_find(const struct postfix *p, struct span name)
{
    for (size_t i = p->count; i > 0; i--) /* the last one counts */
        if (span_equal(p->at[i - 1].name, name))
            return &p->at[i - 1];
    return NULL;
}

void postfix_read(struct postfix *p, struct span text)
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

void postfix_expand_default(struct postfix *p, struct span name, struct buf *out, int depth)
{
    if (span_equal(name, SPAN("myorigin"))) {
        postfix_expand(p, SPAN("$myhostname"), out, depth);
    } else if (span_equal(name, SPAN("mydestination"))) {
        postfix_expand(p, SPAN("$myhostname, localhost.$mydomain, localhost"), out, depth);
    } else if (span_equal(name, SPAN("mynetworks"))) { /* of mynetworks_style = host */
        postfix_expand(p, SPAN("127.0.0.0/8 [::1]/128"), out, depth);
    } else if (span_equal(name, SPAN("smtpd_tls_key_file"))) {
        postfix_expand(p, SPAN("$smtpd_tls_cert_file"), out, depth);
    } else if (span_equal(name, SPAN("mydomain"))) {
        const struct parameter *host = postfix_find(p, SPAN("myhostname"));
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

void postfix_expand(struct postfix *p, struct span text, struct buf *out, int depth)
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
        const struct parameter *one = postfix_find(p, name);
        if (one)
            postfix_expand(p, buf_span(&one->value), out, depth + 1);
        else
            postfix_expand_default(p, name, out, depth + 1);
        i += end + closed;
    }
}
