/* Checks a configuration file's text for mistakes that libconfuse does not report well: the line of
 * a brace that is not closed, and the two values between which a comma is missing.
 *
 * Sections are never nested and lists have values only, so a word that belongs outside shows that a
 * brace is open. Values are only skipped here; read.c checks them. */
#include "config/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum token_kind { END, WORD, TEXT, EQUALS, COMMA, OPEN, CLOSE, CALL_OPEN, CALL_CLOSE, BROKEN };

struct token {
    enum token_kind kind;
    struct span text; /* WORD, TEXT: without its quotes */
    int line;
};

struct opened {
    struct span name; /* of the section, or of the key with the list */
    int line;
};

struct scan {
    const struct scan_hooks *hooks;
    const char *begin; /* of the text */
    char *blank;       /* the same text, if comments must be blanked; else NULL */
    struct span rest;
    int line;
    int long_text; /* line of the first quoted text with several lines; 0: none */
    unsigned wrong;
    struct token now, next;
    struct opened section; /* line 0: outside */
};

static __attribute__((format(printf, 3, 4))) void wrong(struct scan *s, int line,
                                                        const char *format, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (s->hooks)
        s->hooks->wrong(s->hooks->arg, line, text);
    s->wrong++;
}

/* For "%.*s": how much of a name or value a message shows. */
static int shown(struct span text)
{
    return (int)(text.len < 60 ? text.len : 60);
}

/* ---- tokens ---- */

static void skip(struct scan *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->line += s->rest.at[i] == '\n';
    s->rest = span_after(s->rest, n);
}

static bool starts(const struct scan *s, const char *with)
{
    return s->rest.len >= 2 && s->rest.at[0] == with[0] && s->rest.at[1] == with[1];
}

/* Skips a comment; false if it is not closed. */
static bool skip_comment(struct scan *s)
{
    const char *from = s->rest.at;
    bool closed = true;

    if (starts(s, "/*")) {
        skip(s, 2);
        while (s->rest.len && !starts(s, "*/"))
            skip(s, 1);
        closed = s->rest.len > 0;
        skip(s, closed ? 2 : 0);
    } else {
        skip(s, span_find(s->rest, '\n'));
    }
    for (char *at = s->blank ? s->blank + (from - s->begin) : NULL;
         at && at < s->blank + (s->rest.at - s->begin); at++)
        *at = *at == '\n' ? '\n' : ' ';
    return closed;
}

/* Skips blanks and comments; false if a comment is not closed. */
static bool skip_blank(struct scan *s)
{
    while (s->rest.len) {
        char c = s->rest.at[0];
        int line = s->line;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v') {
            skip(s, 1);
        } else if (c == '#' || starts(s, "//") || starts(s, "/*")) {
            if (!skip_comment(s)) {
                wrong(s, line, "the comment /* that begins here is not closed");
                return false;
            }
        } else {
            break;
        }
    }
    return true;
}

static struct token take_quoted(struct scan *s, char quote)
{
    struct token t = {TEXT, {0}, s->line};
    size_t n = 1;

    while (n < s->rest.len && s->rest.at[n] != quote)
        n += s->rest.at[n] == '\\' && n + 1 < s->rest.len ? 2 : 1;
    if (n >= s->rest.len) {
        wrong(s, s->long_text ? s->long_text : t.line, "the %c that opens here is not closed",
              quote);
        t.kind = BROKEN;
        n = s->rest.len;
    } else {
        t.text = span_first(span_after(s->rest, 1), n - 1);
        n++;
    }
    skip(s, n);
    if (s->line != t.line && !s->long_text)
        s->long_text = t.line;
    return t;
}

static size_t word_end(struct span text)
{
    static const char stop[] = " \t\r\n\f\v\"'{}()=,#";
    size_t n = 0;

    while (n < text.len && !memchr(stop, text.at[n], sizeof stop - 1) &&
           !(text.at[n] == '+' && n + 1 < text.len && text.at[n + 1] == '='))
        n++;
    return n;
}

static struct token take(struct scan *s)
{
    static const char marks[] = "=,{}()";
    static const enum token_kind kinds[] = {EQUALS, COMMA, OPEN, CLOSE, CALL_OPEN, CALL_CLOSE};

    if (!skip_blank(s))
        return (struct token){BROKEN, {0}, s->line};
    struct token t = {END, {0}, s->line};
    if (s->rest.len == 0)
        return t;
    char c = s->rest.at[0];
    const char *mark = memchr(marks, c, sizeof marks - 1);
    if (c == '"' || c == '\'')
        return take_quoted(s, c);
    if (mark || starts(s, "+=")) {
        t.kind = mark ? kinds[mark - marks] : EQUALS;
        skip(s, mark ? 1 : 2);
        return t;
    }
    size_t n = word_end(s->rest);
    t.kind = WORD;
    t.text = span_first(s->rest, n);
    skip(s, n);
    return t;
}

static void advance(struct scan *s)
{
    s->now = s->next;
    if (s->now.kind != END && s->now.kind != BROKEN)
        s->next = take(s);
}

static bool is_value(const struct token *t)
{
    return t->kind == WORD || t->kind == TEXT;
}

/* ---- lists ---- */

static bool is_known(const struct scan *s, const struct token *t)
{
    return t->kind == WORD && (s->hooks->is_section(s->hooks->arg, t->text) ||
                               s->hooks->is_key(s->hooks->arg, t->text));
}

static void left_open(struct scan *s, struct opened list, const struct token *by)
{
    const char *what = by->kind == END ? "" : " before ";

    wrong(s, list.line, "the { of %.*s is opened here and not closed%s%.*s", shown(list.name),
          list.name.at, what, shown(by->text), by->text.at ? by->text.at : "");
}

/* Scans a list after its open brace; false if the rest cannot be understood. */
static bool scan_list(struct scan *s, struct opened list)
{
    for (;;) {
        if (s->now.kind == CLOSE) {
            advance(s);
            return true;
        }
        if (s->now.kind == BROKEN)
            return false;
        if (!is_value(&s->now) && s->now.kind != COMMA) {
            left_open(s, list, &s->now);
            return false;
        }
        struct token before = s->now;
        advance(s);
        if (before.kind == COMMA || !is_value(&s->now))
            continue;
        if (s->now.line != before.line && is_known(s, &s->now)) {
            left_open(s, list, &s->now);
            return false;
        }
        if (s->now.kind == BROKEN || s->next.kind == BROKEN)
            return false; /* a quote is open: the text between two later quotes is not a value */
        wrong(s, before.line, "a comma is missing between \"%.*s\" and \"%.*s\"",
              shown(before.text), before.text.at, shown(s->now.text), s->now.text.at);
    }
}

/* ---- statements ---- */

static bool scan_value(struct scan *s, const struct token *name)
{
    if (s->now.kind == OPEN && s->hooks->is_section(s->hooks->arg, name->text) &&
        !s->hooks->is_key(s->hooks->arg, name->text)) {
        wrong(s, name->line, "%.*s is a section and has no =; expected %.*s { ... }",
              shown(name->text), name->text.at, shown(name->text), name->text.at);
        return false;
    }
    if (s->now.kind == OPEN) {
        struct opened list = {name->text, s->now.line};
        advance(s);
        return scan_list(s, list);
    }
    if (!is_value(&s->now)) {
        if (s->now.kind != BROKEN)
            wrong(s, name->line, "%.*s = has no value", shown(name->text), name->text.at);
        return false;
    }
    struct token value = s->now;
    advance(s);
    if (s->now.kind == COMMA) {
        wrong(s, s->now.line, "several values need braces; expected %.*s = { ..., ... }",
              shown(name->text), name->text.at);
        return false;
    }
    bool alone = is_value(&s->now) && s->next.kind != EQUALS && s->next.kind != OPEN &&
                 s->next.kind != CALL_OPEN && !is_value(&s->next);
    if (s->now.line == value.line && (s->now.kind == TEXT || alone)) {
        wrong(s, value.line, "%.*s = %.*s has \"%.*s\" behind it, which belongs to nothing",
              shown(name->text), name->text.at, shown(value.text), value.text.at,
              shown(s->now.text), s->now.text.at);
        return false;
    }
    return true;
}

/* Scans a section after its name (and title). */
static bool scan_section(struct scan *s, const struct token *name)
{
    if (s->section.line) {
        if (s->hooks->is_section(s->hooks->arg, name->text))
            left_open(s, s->section, name);
        return false;
    }
    s->section = (struct opened){name->text, s->now.line};
    advance(s);
    return true;
}

static bool scan_call(struct scan *s, const struct token *name)
{
    while (s->now.kind != CALL_CLOSE) {
        if (s->now.kind == END)
            wrong(s, name->line, "the ( of %.*s is opened here and not closed", shown(name->text),
                  name->text.at);
        if (s->now.kind == END || s->now.kind == BROKEN)
            return false;
        advance(s);
    }
    advance(s);
    return true;
}

static bool scan_statement(struct scan *s)
{
    struct token name = s->now;

    if (name.kind != WORD) {
        if (name.kind == CLOSE)
            wrong(s, name.line, "this } closes nothing");
        else if (name.kind != BROKEN)
            wrong(s, name.line,
                  "expected a key or a section, such as domains = { "
                  "\"example.org\" }");
        return false;
    }
    advance(s);
    if (s->now.kind == EQUALS) {
        advance(s);
        return scan_value(s, &name);
    }
    if (s->now.kind == CALL_OPEN)
        return scan_call(s, &name);
    if (s->now.kind == OPEN)
        return scan_section(s, &name);
    if (is_value(&s->now) && s->next.kind == OPEN) {
        advance(s);
        return scan_section(s, &name);
    }
    if (s->now.kind != BROKEN)
        wrong(s, name.line,
              s->hooks->is_section(s->hooks->arg, name.text)
                  ? "%.*s has no { }; every section needs them"
                  : "%.*s has no =; expected KEY = VALUE",
              shown(name.text), name.text.at);
    return false;
}

unsigned scan_text(struct span text, const struct scan_hooks *hooks)
{
    struct scan s = {.hooks = hooks, .begin = text.at, .rest = text, .line = 1};

    if (span_starts_fold(text, SPAN("\xef\xbb\xbf"))) {
        hooks->wrong(hooks->arg, 1, "the file begins with a byte order mark; save it without one");
        return 1;
    }
    s.next = take(&s);
    advance(&s);
    for (bool on = true; on && s.now.kind != END;) {
        if (s.now.kind == CLOSE && s.section.line) {
            s.section = (struct opened){0};
            advance(&s);
        } else {
            on = scan_statement(&s);
        }
    }
    if (s.now.kind == END && s.section.line && s.wrong == 0)
        left_open(&s, s.section, &s.now);
    return s.wrong;
}

void scan_blank_comments(char *text, size_t len)
{
    struct scan s = {.begin = text, .blank = text, .rest = {text, len}, .line = 1};
    struct token t;

    do
        t = take(&s);
    while (t.kind != END && t.kind != BROKEN);
}
