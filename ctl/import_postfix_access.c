/* What Postfix checks of a client: its restrictions, its limits, and postscreen; see
 * import_postfix_part.h. */
#include <stdio.h>
#include <string.h>

#include "import_postfix_part.h"

void postfix_take_limits(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    import_note(p->im,
                "%.*s has no equivalent: mired spaces a client's verdicts over all of its "
                "connections (pace) and ends no session for errors",
                (int)name.len, name.at);
}

static void take_names_list(struct postfix *p, const char *from, struct span word, struct span list)
{
    import_note(p->im, "%s: %.*s %.*s is not converted: it is about names, not clients", from,
                (int)word.len, word.at, (int)list.len, list.at);
}

void postfix_take_restrictions(struct postfix *p, struct span name, struct span value)
{
    char from[128];
    bool other = false, trusted = false;

    p->im->found++;
    snprintf(from, sizeof from, "%.*s", (int)name.len, name.at);
    for (struct span word; (word = import_word(&value, ", \t")).len;) {
        bool black = span_equal(word, SPAN("reject_rbl_client"));
        bool white = span_equal(word, SPAN("permit_dnswl_client"));
        if (black || white)
            import_list(p->im, black ? "dnsbl" : "dnswl", import_word(&value, ", \t"), from);
        else if (span_starts_fold(word, SPAN("reject_rhsbl")))
            take_names_list(p, from, word, import_word(&value, ", \t"));
        else
            other = true;
        trusted = trusted || span_equal(word, SPAN("permit_mynetworks"));
        if (!trusted && span_equal(word, SPAN("check_policy_service")))
            import_note(p->im,
                        "%s: check_policy_service sees mired's recipient lookups too, from "
                        "127.0.0.1 with an empty sender; put permit_mynetworks before it, or a "
                        "greylist delays new senders twice",
                        from);
    }
    if (other)
        import_note(p->im,
                    "%s: Postfix keeps applying its other restrictions; XCLIENT tells it the "
                    "client's address",
                    from);
}

/* postscreen's lists: negative weights are allow-lists. */
void postfix_take_sites(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    for (struct span word; (word = import_word(&value, ", \t")).len;) {
        size_t star = span_find(word, '*');
        bool white = star + 1 < word.len && word.at[star + 1] == '-';
        import_list(p->im, white ? "dnswl" : "dnsbl", word, "postscreen_dnsbl_sites");
    }
}

/* "6s", or with other values under stress: "${stress?{2}:{6}}s", "${stress?2}${stress:6}s". The
 * value without stress is the last number. */
static unsigned long seconds_without_stress(struct span value)
{
    static const char digits[] = "0123456789";
    size_t end = value.len, from;

    while (end > 0 && !strchr(digits, value.at[end - 1]))
        end--;
    for (from = end; from > 0 && strchr(digits, value.at[from - 1]);)
        from--;
    struct span number = {value.at + from, end - from};
    bool minutes = value.len && value.at[value.len - 1] == 'm';
    return import_number(number, 10) * (minutes ? 60 : 1);
}

/* postscreen's pause. With `ignore`, the default, it only logs who talks first; mired does no more
 * with `observe`. */
void postfix_take_greet(struct postfix *p, struct span name, struct span value)
{
    const struct parameter *wait = postfix_find(p, SPAN("postscreen_greet_wait"));
    unsigned long usual = 6;

    p->im->found++;
    if (wait)
        usual = seconds_without_stress(buf_span(&wait->value));
    if (span_equal(value, SPAN("enforce")) || span_equal(value, SPAN("drop")))
        import_greet(p->im, "postscreen_greet_action", usual);
    else
        import_note(p->im,
                    "postscreen_greet_action = %.*s: it only logs clients that talk first, "
                    "so mired has no pause either (greet)",
                    (int)value.len, value.at);
}

void postfix_take_greet_wait(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    if (!postfix_find(p, SPAN("postscreen_greet_action")))
        import_note(p->im,
                    "postscreen_greet_wait = %.*s is not converted: without "
                    "postscreen_greet_action it only logs clients that talk first",
                    (int)value.len, value.at);
}

void postfix_take_greet_ttl(struct postfix *p, struct span name, struct span value)
{
    p->im->found++;
    import_note(p->im,
                "postscreen_greet_ttl = %.*s is not converted: mired knows a client for 30 days "
                "(greet_pass)",
                (int)value.len, value.at);
}
