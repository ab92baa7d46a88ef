/* Writes replies: turns the rows of reply.h into lines.
 *
 * A reply is its code, its enhanced code and a text that contains the argument. The argument may
 * have words of a client or a backend, so it is made printable here, for all replies, and nowhere
 * else. If a reply would be too long, only the argument is cut. Pure; runs in workers and in the
 * store. */
#include "smtp/reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "smtp/text.h"

static_assert(2 * REPLY_DRIP_FIRST_MAX + REPLY_DRIPS_MAX * REPLY_DRIP_SHORT_MAX <= REPLY_WHOLE_MAX,
              "a dripped reply must be one that every known sender bears");

static const struct {
    uint16_t code;
    uint8_t enhanced[3];
    uint8_t offence;
    const char *text;
} rows[REPLY_COUNT] = {
#define REPLY_ROW(id, code, class, subject, detail, offence, text)                                 \
    [REPLY_##id] = {code, {class, subject, detail}, OFFENCE_##offence, text},
    REPLIES(REPLY_ROW)
#undef REPLY_ROW
};

struct reply reply_make(enum reply_id id, struct span arg)
{
    assert((unsigned)id < REPLY_COUNT);
    struct reply r = {.id = (uint16_t)id,
                      .code = rows[id].code,
                      .offence = rows[id].offence,
                      .last = false,
                      .arg = arg};
    memcpy(r.enhanced, rows[id].enhanced, sizeof r.enhanced);
    return r;
}

enum { HEAD_MAX = 32, HEAD_MARK = 3 };

/* What is the same in each line of a reply: the code and the enhanced code, with ' ' or '-' at
 * HEAD_MARK, and the row's text before and after the argument. */
struct frame {
    char head[HEAD_MAX];
    size_t head_len;
    struct span before, after;
    bool takes_arg;
};

static size_t write_head(const struct reply *r, char out[HEAD_MAX])
{
    char *at = write_decimal(r->code, HEAD_MARK, out);

    *at++ = ' ';
    for (int i = 0; r->enhanced[0] && i < 3; i++) {
        at = write_decimal(r->enhanced[i], 1, at);
        *at++ = i < 2 ? '.' : ' ';
    }
    return (size_t)(at - out);
}

static struct frame frame_with(const struct reply *r, const char *text)
{
    const char *hole = strstr(text, "%s");
    struct frame f = {.before = span_of(text)};

    f.head_len = write_head(r, f.head);
    if (hole) {
        f.before.len = (size_t)(hole - text);
        f.after = span_of(hole + 2);
        f.takes_arg = true;
    }
    return f;
}

static struct frame frame_of(const struct reply *r)
{
    assert(r->id < REPLY_COUNT);
    return frame_with(r, rows[r->id].text);
}

/* Takes the first line of the argument from *rest. */
static struct span take_line(struct span *rest)
{
    struct span line = span_first(*rest, span_find(*rest, '\n'));
    *rest = span_after(*rest, line.len + 1);
    return line;
}

/* The first octets of `s`, at most `room`, that are printable ASCII: nearly all of it. */
static size_t plain_length(struct span s, size_t room)
{
    size_t n = 0;

    while (n < s.len && n < room && s.at[n] >= ' ' && s.at[n] <= '~')
        n++;
    return n;
}

/* Adds at most `room` octets of a stranger's words, made printable; never half of a UTF-8
 * sequence. */
static int add_sanitised(struct span s, size_t room, struct buf *out)
{
    while (s.len) {
        size_t plain = plain_length(s, room), n = plain ? plain : text_printable(s);
        struct span piece = n ? span_first(s, n) : SPAN("?");
        if (piece.len > room)
            return 0;
        if (buf_add_span(out, piece))
            return -ENOMEM;
        room -= piece.len;
        s = span_after(s, n ? n : 1);
    }
    return 0;
}

/* The octets of a line without its argument, CRLF included. */
static size_t line_length(const struct frame *f, struct span arg)
{
    return f->head_len + f->before.len + (f->takes_arg ? arg.len : 0) + f->after.len + 2;
}

static int add_line(const struct frame *f, struct span arg, bool more, size_t max, struct buf *out)
{
    size_t frame = line_length(f, (struct span){0});
    if (buf_add(out, f->head, f->head_len))
        return -ENOMEM;
    if (more)
        out->at[out->len - f->head_len + HEAD_MARK] = '-';
    if (buf_add_span(out, f->before))
        return -ENOMEM;
    if (f->takes_arg && add_sanitised(arg, max > frame ? max - frame : 0, out))
        return -ENOMEM;
    return buf_add_span(out, f->after) || buf_add_span(out, SPAN("\r\n")) ? -ENOMEM : 0;
}

/* How many lines of the argument the limits allow; at least one. */
static unsigned lines_that_fit(const struct reply *r, const struct frame *f)
{
    struct span rest = r->arg;
    size_t whole = 0;
    unsigned lines = 0;
    do {
        size_t line = line_length(f, take_line(&rest));
        whole += line < REPLY_LINE_MAX ? line : REPLY_LINE_MAX;
        if (lines && r->id != REPLY_EHLO && (whole > REPLY_WHOLE_MAX || lines == REPLY_LINES_MAX))
            break;
        lines++;
    } while (rest.len);
    return lines;
}

int reply_write(const struct reply *r, struct buf *out)
{
    const struct frame f = frame_of(r);
    const unsigned lines = lines_that_fit(r, &f);
    const uint32_t start = out->len;
    struct span rest = r->arg;
    /* For the usual lines of EHLO too, so that the block does not grow three times. add_line() says
     * if there is no memory. */
    if (lines > 1)
        (void)buf_room(out, (size_t)lines * sizeof f.head + r->arg.len);
    for (unsigned i = 1; i <= lines; i++) {
        if (add_line(&f, take_line(&rest), i < lines, REPLY_LINE_MAX, out)) {
            out->len = start;
            return -ENOMEM;
        }
    }
    return 0;
}

static int add_drip(struct span arg, const struct frame *f, bool more, struct buf *out)
{
    const uint32_t start = out->len;
    if (!add_line(f, arg, more, REPLY_DRIP_FIRST_MAX, out))
        return 0;
    out->len = start;
    return -ENOMEM;
}

int reply_drip(const struct reply *r, bool first, struct buf *out)
{
    const struct frame wait = frame_with(r, "Wait");
    const struct frame whole = frame_of(r);
    struct span rest = r->arg;
    return add_drip(take_line(&rest), first ? &whole : &wait, true, out);
}

int reply_end_drip(const struct reply *r, struct buf *out)
{
    const struct frame whole = frame_of(r);
    struct span rest = r->arg;
    return add_drip(take_line(&rest), &whole, false, out);
}
