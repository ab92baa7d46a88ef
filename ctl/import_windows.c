/* Settings of Windows' SMTP service (a registry export) and of Exchange's receive connectors (the
 * output of Get-ReceiveConnector | Format-List); see import_part.h. */
#include "import_part.h"

void import_registry(struct import *im, struct span text)
{
    struct span value;

    while (text.len) {
        struct span line = import_line(&text);
        if (import_is(line, "\"TarpitTime\"", '=', &value) &&
            span_starts_fold(value, SPAN("dword:")))
            import_time(im, "Windows' TarpitTime", import_number(span_after(value, 6), 16));
    }
}

/* "00:00:05", with days in front of a dot perhaps. */
static unsigned long clock_seconds(struct span text)
{
    size_t dot = span_find(text, '.'), colon = span_find(text, ':');
    unsigned long seconds = 0, days = 0;

    if (dot < colon && colon < text.len) {
        days = import_number(span_first(text, dot), 10);
        text = span_after(text, dot + 1);
    }
    for (int part = 0; part < 3 && text.len; part++) {
        struct span digits = span_first(text, span_find(text, ':'));
        seconds = seconds * 60 + import_number(digits, 10);
        text = span_after(text, digits.len + (digits.len < text.len));
    }
    return seconds + days * 86400;
}

static bool is_everyone(struct span ranges)
{
    return import_contains(ranges, "0.0.0.0-255.255.255.255");
}

void import_exchange(struct import *im, struct span text)
{
    bool delayed = false, logins = false;
    struct span value;

    while (text.len) {
        struct span line = import_line(&text);
        if (import_is(line, "Identity", ':', &value)) {
            import_note(im, "connector %.*s", (int)value.len, value.at);
        } else if (import_is(line, "TarpitInterval", ':', &value)) {
            import_time(im, "its TarpitInterval", clock_seconds(value));
            delayed = true;
        } else if (import_is(line, "RemoteIPRanges", ':', &value)) {
            if (!is_everyone(value))
                import_exempt(im, value);
            else
                im->found++;
        } else if (import_is(line, "AuthMechanism", ':', &value)) {
            logins |= import_contains(value, "BasicAuth");
        }
    }
    if (logins)
        import_set(im, "BasicAuth: logins are handed through to Exchange", "auth \"backend\" { }");
    if (delayed)
        import_note(im, "and there: Set-ReceiveConnector -TarpitInterval 0, for mired waits now");
}
