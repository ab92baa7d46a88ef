/* Lines of Dovecot's auth socket; see dovecot_lines.h. */
#include "auth/dovecot_lines.h"

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "smtp/session.h"

/* ---- cutting ---- */

char *dovecot_lines_room(struct dovecot_lines *l, size_t *room)
{
    if (l->begin) {
        l->end -= l->begin;
        memmove(l->text, l->text + l->begin, l->end);
        l->begin = 0;
    }
    *room = sizeof l->text - l->end;
    return l->text + l->end;
}

void dovecot_lines_add(struct dovecot_lines *l, size_t len)
{
    l->end += len;
}

bool dovecot_lines_take(struct dovecot_lines *l, char out[DOVECOT_LINE_MAX], size_t *len)
{
    const char *at = l->text + l->begin;
    const char *end = memchr(at, '\n', l->end - l->begin);

    if (!end)
        return false;
    *len = (size_t)(end - at);
    memcpy(out, at, *len);
    out[*len] = '\0';
    l->begin += *len + 1;
    return true;
}

bool dovecot_lines_is_empty(const struct dovecot_lines *l)
{
    return l->begin == l->end;
}

bool dovecot_lines_is_full(const struct dovecot_lines *l)
{
    return l->end - l->begin == sizeof l->text;
}

void dovecot_lines_clear(struct dovecot_lines *l)
{
    explicit_bzero(l, sizeof *l);
}

/* ---- reading ---- */

bool dovecot_line_is(const char *line, const char *word)
{
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 && (line[n] == '\t' || line[n] == '\0');
}

static bool has_field(const char *line, const char *field)
{
    for (const char *at = strchr(line, '\t'); at; at = strchr(at + 1, '\t'))
        if (dovecot_line_is(at + 1, field))
            return true;
    return false;
}

/* The value of "NAME=" in a line; empty when there is none. */
static struct span field_value(const char *line, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = strchr(line, '\t'); at; at = strchr(at + 1, '\t'))
        if (strncmp(at + 1, name, len) == 0)
            return (struct span){at + 1 + len, strcspn(at + 1 + len, "\t")};
    return (struct span){0};
}

bool dovecot_line_has(const char *line, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = strchr(line, '\t'); at; at = strchr(at + 1, '\t'))
        if (strncmp(at + 1, name, len) == 0 && strchr("\t=", at[1 + len]))
            return true;
    return false;
}

uint32_t dovecot_line_mechanism(const char *line)
{
    static const struct {
        const char *name;
        uint32_t offer;
    } known[] = {{"MECH\tPLAIN", SMTP_AUTH_PLAIN},
                 {"MECH\tLOGIN", SMTP_AUTH_LOGIN},
                 {"MECH\tSCRAM-SHA-256", SMTP_AUTH_SCRAM}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (dovecot_line_is(line, known[i].name) && !has_field(line, "private"))
            return known[i].offer;
    return 0;
}

bool dovecot_line_answer(const char *line, uint32_t *number, enum answer_result *result)
{
    bool good = dovecot_line_is(line, "OK"), more = dovecot_line_is(line, "CONT");
    bool bad = dovecot_line_is(line, "FAIL");
    const char *tab = strchr(line, '\t');
    uint64_t n = 0;

    if (!(good || more || bad) || !tab ||
        !span_number((struct span){tab + 1, strcspn(tab + 1, "\t")}, &n) || n > UINT32_MAX)
        return false;
    bool later = has_field(line, "temp") || has_field(line, "code=temp_fail");
    *number = (uint32_t)n;
    *result = good ? ANSWER_YES : more ? ANSWER_MORE : later ? ANSWER_LATER : ANSWER_NO;
    return true;
}

static int add_decoded(struct buf *to, struct span text)
{
    size_t len = 0;
    char *room = buf_room(to, text.len);

    if (!room)
        return -ENOMEM;
    if (!base64_decode(text, room, text.len, &len))
        return -EBADMSG;
    to->len += (uint32_t)len;
    return 0;
}

int dovecot_line_data(const char *line, bool more, struct buf *data)
{
    const char *tab = strchr(line, '\t'), *second = tab ? strchr(tab + 1, '\t') : NULL;

    if (more)
        return add_decoded(data, span_of(second ? second + 1 : ""));
    return add_decoded(data, field_value(line, "resp="));
}

struct span dovecot_line_reason(const char *line)
{
    return field_value(line, "reason=");
}

struct span dovecot_line_name(const char *line)
{
    return field_value(line, "user=");
}
