/* Scans the octets of a message: finds the end of DATA and stuffing dots, and checks line ends.
 *
 * Only data_scan() and data_scan_chunk() decide what a line in a message is. The backend gets what
 * they accept unchanged, so in case of doubt the message is bad. Octets are read in place and never
 * copied. data_skip.c takes the octets in which there is nothing to decide. Pure; runs in workers
 * (scanning) and in the store (scanning, unstuffing). */
#include "smtp/data_part.h"

#include <string.h>

#include "smtp/text.h"

void data_start(struct data_scan *d)
{
    *d = (struct data_scan){.state = LINE_START};
}

bool data_line_start(const struct data_scan *d)
{
    return d->state <= DOT_DUE;
}

/* Scans the rest of a line, CRLF included, as far as it is there, or up to a bare LF that is mended
 * (CR_DUE), if `mend` allows that. Returns the number of octets: at least one if `in` is not empty,
 * except for CR_DUE. */
static size_t scan_line(struct data_scan *d, struct span in, bool mend)
{
    if (d->state == AFTER_CR) {
        d->state = IN_LINE;
        if (in.at[0] == '\n') {
            d->state = LINE_START;
            d->line = 0;
            return 1;
        }
        d->bad = true;
    }
    size_t run = span_find(in, '\r');
    const char *bare = run ? memchr(in.at, '\n', run) : NULL;
    if (bare && mend) {
        run = (size_t)(bare - in.at);
        in = span_first(in, run);
    } else if (bare) {
        d->bad = true;
    }
    if (d->line + run > DATA_LINE_MAX) {
        d->bad = true;
        d->line = DATA_LINE_MAX;
    } else {
        d->line += (uint32_t)run;
    }
    d->state = run < in.len ? AFTER_CR : bare && mend ? CR_DUE : IN_LINE;
    return run < in.len ? run + 1 : run;
}

/* What a line has been so far, for look_for_dot_with_nul(). */
enum { ONLY_NULS, NULS_AND_DOT, TEXT };

/* Where NULs are allowed: looks for lines that end the data for a server that drops NULs (NUL "."
 * NUL), or for one that reads a line up to its first NUL ("." NUL). */
static void look_for_dot_with_nul(struct data_scan *d, struct span in)
{
    while (in.len) {
        char c = in.at[0];
        if (d->nul_line == TEXT) {
            size_t end = span_find(in, '\n');
            if (end == in.len)
                return;
            in = span_after(in, end);
            d->nul_line = ONLY_NULS;
        } else if (c == '.' && d->nul_line == ONLY_NULS) {
            d->nul_line = NULS_AND_DOT;
        } else if (c == '\0' && d->nul_line == NULS_AND_DOT) {
            d->bad = d->nul = true;
        } else if (c == '\0') {
            d->nul_first = true;
        } else {
            if ((c == '\r' || c == '\n') && d->nul_line == NULS_AND_DOT && d->nul_first)
                d->bad = d->nul = true;
            d->nul_line = c == '\n' ? ONLY_NULS : TEXT;
            d->nul_first = false;
        }
        in = span_after(in, 1);
    }
}

static void look_for_nul(struct data_scan *d, struct span in)
{
    if (d->allow_nul)
        look_for_dot_with_nul(d, in);
    else if (in.len && memchr(in.at, '\0', in.len))
        d->bad = d->nul = true;
}

/* scan_line(), and looks for a NUL in what it has scanned. */
static size_t scan_rest_of_line(struct data_scan *d, struct span in, bool mend)
{
    size_t n = scan_line(d, in, mend);

    look_for_nul(d, span_first(in, n));
    return n;
}

/* The meaning of a dot at the start of a line. */
enum dot { DOT_STUFFS, DOT_ENDS, DOT_UNDECIDED };

static enum dot dot_means(struct span in)
{
    if (in.len > 1 && in.at[1] != '\r')
        return DOT_STUFFS;
    if (in.len < 3)
        return DOT_UNDECIDED;
    return in.at[2] == '\n' ? DOT_ENDS : DOT_STUFFS;
}

enum data_result data_scan(struct data_scan *d, struct span in, struct data_found *found)
{
    size_t at = 0;
    enum dot dot = DOT_STUFFS;
    found->dots = 0;
    while (at < in.len) {
        at += data_skip(d, span_after(in, at), true, &found->dots);
        if (at == in.len)
            break;
        if (d->state == LINE_START && in.at[at] == '.') {
            dot = dot_means(span_after(in, at));
            if (dot != DOT_STUFFS)
                break;
            found->dots++;
        }
        at += scan_rest_of_line(d, span_after(in, at), false);
    }
    found->body = at;
    found->used = dot == DOT_ENDS ? at + 3 : at;
    return dot == DOT_ENDS ? DATA_END : DATA_MORE;
}

size_t data_scan_chunk(struct data_scan *d, struct span in)
{
    size_t at = 0, none = 0;
    while (at < in.len && d->state != DOT_DUE && d->state != CR_DUE) {
        at += data_skip(d, span_after(in, at), false, &none);
        if (at == in.len)
            break;
        if (d->state == LINE_START && in.at[at] == '.')
            d->state = DOT_DUE;
        else
            at += scan_rest_of_line(d, span_after(in, at), d->mend);
    }
    return at;
}

struct span data_chunk_owes(struct data_scan *d)
{
    if (d->state == DOT_DUE) {
        d->state = DOT_PUT_IN;
        return SPAN(".");
    }
    if (d->state == CR_DUE) {
        d->state = AFTER_CR;
        return SPAN("\r");
    }
    return (struct span){0};
}

bool data_chunks_end(struct data_scan *d)
{
    if (d->state == AFTER_CR)
        d->bad = true;
    return !data_line_start(d);
}

size_t data_unstuff(bool *line_start, struct span in, char *out)
{
    size_t length = 0;
    while (in.len) {
        if (*line_start && in.at[0] == '.')
            in = span_after(in, 1);
        struct span line = span_first(in, span_find(in, '\n') + 1);
        if (line.len)
            memcpy(out + length, line.at, line.len);
        *line_start = line.len && line.at[line.len - 1] == '\n';
        length += line.len;
        in = span_after(in, line.len);
    }
    return length;
}

enum { RECEIVED_MATCHING, RECEIVED_SKIPPING, RECEIVED_DONE };

/* Matches one octet of the header; the line may still be a Received: line. */
static void received_match(struct received_count *r, char c)
{
    static const char name[] = "received:";
    if (r->column == 0 && (c == '\r' || c == '\n')) {
        r->state = RECEIVED_DONE;
    } else if (text_lower(c) != name[r->column]) {
        r->state = RECEIVED_SKIPPING;
    } else if (++r->column == sizeof name - 1) {
        r->count += r->count < UINT16_MAX;
        r->state = RECEIVED_SKIPPING;
    }
}

void received_scan(struct received_count *r, struct span in)
{
    while (in.len && r->state != RECEIVED_DONE) {
        if (r->state == RECEIVED_MATCHING) {
            received_match(r, in.at[0]);
            if (r->state != RECEIVED_SKIPPING)
                in = span_after(in, 1);
            continue;
        }
        size_t end = span_find(in, '\n');
        if (end < in.len) {
            r->state = RECEIVED_MATCHING;
            r->column = 0;
        }
        in = span_after(in, end + 1);
    }
}
