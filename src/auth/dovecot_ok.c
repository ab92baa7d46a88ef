/* Fields of "OK" that say where a login leads; see dovecot_ok.h. Runs in clerks. */
#include "auth/dovecot_ok.h"

#include "auth/dovecot_lines.h"
#include "base/log.h"

/* Its own submission service does the same with "nologin". */
static enum answer_result barred(struct dovecot_ok *o, const char *path, const char *line,
                                 uint64_t now)
{
    struct span name = dovecot_line_name(line), why = dovecot_line_reason(line);

    if (log_is_due(&o->barred_ms, DOVECOT_TELL_MS, now))
        log_warn("auth dovecot: %s: \"%.*s\" may not log in (`nologin`)%s%.*s; its right password "
                 "is refused (535)",
                 path, (int)name.len, name.len ? name.at : "", why.len ? ": " : "", (int)why.len,
                 why.len ? why.at : "");
    return ANSWER_NO;
}

/* A passdb with "proxy" often takes every password (nopassword), because the next server checks
 * it. */
static enum answer_result proxied(struct dovecot_ok *o, const char *path, const char *line,
                                  uint64_t now)
{
    struct span name = dovecot_line_name(line);

    if (log_is_due(&o->proxied_ms, DOVECOT_TELL_MS, now))
        log_warn("auth dovecot: %s: Dovecot passes logins of \"%.*s\" on to another server "
                 "(`proxy`), and may leave the password to that server; they are deferred (454). "
                 "Ask that server, or use a passdb without `proxy` for mired",
                 path, (int)name.len, name.len ? name.at : "");
    return ANSWER_LATER;
}

/* "proxy" comes first, as for Dovecot's own login processes. One that is only asked about does not
 * know whether "proxy_maybe" means itself. */
enum answer_result dovecot_ok_result(struct dovecot_ok *o, const char *path, const char *line,
                                     uint64_t now)
{
    if (dovecot_line_has(line, "proxy") || dovecot_line_has(line, "proxy_maybe"))
        return proxied(o, path, line, now);
    return dovecot_line_has(line, "nologin") ? barred(o, path, line, now) : ANSWER_YES;
}
