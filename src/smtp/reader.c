/* Reading a backend's replies; see reader.h. */
#include "smtp/reader.h"

#include <string.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "5.1.1 text" -> the code; *text is then the rest. */
static bool take_enhanced(struct span *text, uint8_t enhanced[3])
{
    size_t at = 0;
    uint8_t part[3];

    for (int i = 0; i < 3; i++) {
        unsigned value = 0;
        size_t digits = 0;
        while (at < text->len && digit(text->at[at]) && digits < 3) {
            value = value * 10 + (unsigned)(text->at[at++] - '0');
            digits++;
        }
        if (digits == 0 || value > 255)
            return false;
        if (i < 2 && (at >= text->len || text->at[at++] != '.'))
            return false;
        part[i] = (uint8_t)value;
    }
    if (at < text->len && text->at[at] != ' ')
        return false;
    memcpy(enhanced, part, 3);
    *text = span_trim(span_after(*text, at));
    return true;
}

/* Reads one line of a reply, without its end; false if it is not one. */
static bool take_line(struct reply_reader *r, struct span line, bool *last)
{
    if (line.len && line.at[line.len - 1] == '\r')
        line.len--;
    if (line.len < 3 || !digit(line.at[0]) || !digit(line.at[1]) || !digit(line.at[2]))
        return false;
    uint16_t code =
        (uint16_t)((line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0'));
    if (code < 200 || code > 599 || (r->code && code != r->code))
        return false;
    if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-')
        return false;
    *last = line.len == 3 || line.at[3] == ' ';
    struct span text = span_after(line, 4);
    uint8_t enhanced[3];
    if (r->code && text.len && text.at[0] >= '2' && text.at[0] <= '5')
        take_enhanced(&text, enhanced); /* repeated on each line */
    if (r->text.len + text.len + 1 > READER_TEXT_MAX)
        return true; /* long enough; the rest is cut */
    if (r->code && buf_add(&r->text, "\n", 1) < 0)
        return false;
    r->code = code;
    return buf_add_span(&r->text, text) == 0;
}

static void finish(struct reply_reader *r, struct reply *reply)
{
    struct span text = buf_span(&r->text);

    *reply = (struct reply){.id = REPLY_OTHER, .code = r->code};
    reply->offence = r->code >= 500 ? OFFENCE_BACKEND : OFFENCE_NONE;
    struct span first = span_first(text, span_find(text, '\n'));
    size_t before = first.len;
    if (first.len && first.at[0] == '0' + r->code / 100 && take_enhanced(&first, reply->enhanced))
        text = span_after(text, first.len ? (size_t)(first.at - text.at) : before);
    reply->arg = text;
    r->code = 0;
    r->octets = 0;
}

enum reader_result reader_take(struct reply_reader *r, struct span *in, struct reply *reply)
{
    if (r->code == 0)
        buf_free(&r->text);
    while (in->len) {
        size_t end = span_find(*in, '\n');
        struct span piece = span_first(*in, end);
        bool last = false, whole = end < in->len;

        *in = span_after(*in, end + whole);
        r->octets += (uint32_t)(piece.len < READER_REPLY_MAX ? piece.len : READER_REPLY_MAX);
        if (r->octets > READER_REPLY_MAX ||
            buf_add_span(&r->line, span_first(piece, READER_LINE_MAX - r->line.len)) < 0)
            return READER_BROKEN;
        if (!whole)
            return READER_MORE;
        bool good = take_line(r, buf_span(&r->line), &last);
        buf_free(&r->line);
        if (!good)
            return READER_BROKEN;
        if (last) {
            finish(r, reply);
            return READER_REPLY;
        }
    }
    return READER_MORE;
}

void reader_free(struct reply_reader *r)
{
    buf_free(&r->line);
    buf_free(&r->text);
    r->octets = 0;
    r->code = 0;
}
