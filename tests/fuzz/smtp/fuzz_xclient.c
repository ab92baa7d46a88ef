/* What a backend accepts with XCLIENT, and what a client says of itself: the command is one line of
 * attributes that the backend has announced, each once, and their values, read back, are the
 * client's. The input has lines: the backend's words, HELO, the login, the client's name; the first
 * two octets pick the addresses and what is known of the name. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_MAX = 255 };

static struct span take_line(struct span *rest)
{
    struct span line = span_first(*rest, span_find(*rest, '\n'));

    *rest = span_after(*rest, line.len + 1);
    return line;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Whether xtext, read back, is `plain`. */
static bool is_xtext_of(struct span text, struct span plain)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++, n++) {
        int c = (unsigned char)text.at[i];
        assert(c > ' ' && c < 127);
        if (c == '+') {
            assert(i + 2 < text.len && hex(text.at[i + 1]) >= 0 && hex(text.at[i + 2]) >= 0);
            c = hex(text.at[i + 1]) * 16 + hex(text.at[i + 2]);
            i += 2;
        }
        if (n >= plain.len || (unsigned char)plain.at[n] != c)
            return false;
    }
    return n == plain.len;
}

static void check_value(struct span name, struct span value, const struct xclient_identity *who)
{
    bool none = span_equal(value, SPAN("[UNAVAILABLE]"));

    assert(value.len);
    if (span_equal(name, SPAN("HELO"))) /* left out if it would be too long for Postfix */
        assert(none
                   ? !who->helo.len || who->helo.len > VALUE_MAX / 3 || span_equal(who->helo, value)
                   : value.len <= VALUE_MAX && is_xtext_of(value, who->helo));
    else if (span_equal(name, SPAN("LOGIN")))
        assert(who->user.len ? is_xtext_of(value, who->user) : none);
    else if (span_equal(name, SPAN("PROTO")))
        assert(span_equal(value, who->esmtp ? SPAN("ESMTP") : SPAN("SMTP")));
    else if (span_equal(name, SPAN("NAME")) && who->names && who->names->confirmed == NAME_IS)
        assert(*who->names->text ? is_xtext_of(value, span_of(who->names->text)) : none);
}

static void check(const struct buf *command, struct span verb, uint32_t wanted,
                  const struct xclient_identity *who)
{
    struct span line = buf_span(command);
    uint32_t seen = 0;

    assert(line.len > 2 && line.at[line.len - 2] == '\r' && line.at[line.len - 1] == '\n');
    line.len -= 2;
    assert(span_find(line, '\r') == line.len && span_find(line, '\n') == line.len);
    assert(span_find(line, '\0') == line.len);
    struct span first = span_first(line, span_find(line, ' '));
    assert(span_equal(first, verb));
    line = span_after(line, first.len + 1);
    while (line.len) {
        struct span word = span_first(line, span_find(line, ' '));
        size_t equals = span_find(word, '=');
        struct span name = span_first(word, equals);
        uint32_t attribute = xclient_attributes(name);
        assert(equals < word.len && attribute && attribute & wanted && !(attribute & seen));
        seen |= attribute;
        check_value(name, span_after(word, equals + 1), who);
        line = span_after(line, word.len + 1);
    }
}

static void check_helo(struct span helo)
{
    char text[64];

    if (xclient_helo(helo, text, sizeof text))
        assert(strlen(text) == helo.len && !strpbrk(text, " \r\n<>"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_names names = {.confirmed = NAME_NONE};
    struct xclient_identity who = {.esmtp = false};
    struct buf command = {0}, forward = {0};

    if (size < 2 || size > 4096)
        return 0;
    struct span rest = {(const char *)data + 2, size - 2}, words = take_line(&rest);
    who.client =
        (struct addr){.family = data[0] % 3, .port = data[1], .octets = {data[0], data[1]}};
    who.server = (struct addr){.family = data[1] % 3, .port = data[0]};
    who.esmtp = data[0] & 128;
    who.helo = take_line(&rest);
    who.user = take_line(&rest);
    struct span name = span_first(take_line(&rest), sizeof names.text - 1);
    if (name.len)
        memcpy(names.text, name.at, name.len);
    names.confirmed = data[1] & 1 ? NAME_IS : data[1] & 2 ? NAME_NONE : 0;
    names.reverse = data[1] & 4 ? NAME_IS : NAME_NONE;
    who.names = data[1] & 8 ? NULL : &names;
    uint32_t wanted = xclient_attributes(words);
    assert(xclient_command(&command, &who, wanted) == 0);
    check(&command, SPAN("XCLIENT"), wanted, &who);
    assert(xclient_forward_command(&forward, &who, wanted) == 0);
    check(&forward, SPAN("XFORWARD"), wanted, &who);
    check_helo(who.helo);
    buf_free(&command);
    buf_free(&forward);
    return 0;
}
