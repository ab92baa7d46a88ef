/* `route`: which directories, backends and verifiers serve an address, and which rule decides. Runs
 * in the web process, and asks no other process. */
#include <string.h>

#include "config/config.h"
#include "control/control_part.h"
#include "smtp/address.h"

static json_t *directory(const struct steering *s, uint32_t section)
{
    const struct config_recipients *r = &s->params->config->recipients[section];

    return json_pack("{s:s, s:s*, s:b}", "name", config_recipients_name(r->kind), "path", r->path,
                     "up", status_directory_is_up(s, r->kind));
}

static json_t *verifier(const struct steering *s, uint32_t section)
{
    const struct config_auth *a = &s->params->config->auth[section];

    return json_pack("{s:s, s:s*}", "name", config_auth_name(a->kind), "path", a->path);
}

static json_t *backend(const struct steering *s, uint32_t section)
{
    const char *name = s->params->config->backend[section].name;
    const struct steering_backend *known = steering_backend_of(s, name);

    return json_pack("{s:s, s:o}", "name", name, "up",
                     known ? json_boolean(known->up) : json_null());
}

/* The rule is "" where the sections without `domains` serve the domain. */
static json_t *served(const struct steering *s, enum route_kind kind, struct span domain)
{
    struct route route = config_route(s->params->config, kind, domain);
    json_t *list = json_array();

    for (size_t i = 0; i < route.count; i++)
        json_array_append_new(list, kind == ROUTE_RECIPIENTS ? directory(s, route.section[i])
                                    : kind == ROUTE_AUTH     ? verifier(s, route.section[i])
                                                             : backend(s, route.section[i]));
    return json_pack("{s:s, s:o}", "rule", route.rule, "sections", list);
}

void run_route(struct control *c, const json_t *args)
{
    const struct steering *s = c->steering;
    const char *text = request_text(args, "address"), *sign = text ? strrchr(text, '@') : NULL;
    char folded[ADDRESS_MAX * 4];
    const char *rule = "";

    if (!sign || sign == text) {
        control_fail(c, CONTROL_USAGE, "expected an address such as alice@example.org");
        return;
    }
    struct mailbox box = {{text, (size_t)(sign - text)}, span_of(sign + 1)};
    if (box.domain.len && box.domain.at[box.domain.len - 1] == '.')
        box.domain.len--;
    size_t len = mailbox_fold(&box, folded, sizeof folded);
    if (len == 0) {
        control_fail(c, CONTROL_USAGE, "\"%.80s\" is not an address", text);
        return;
    }
    struct span whole = {folded, len}, domain = span_after(whole, address_sign(whole) + 1);
    bool local = routes_is_local(s->params->config->routes, domain, &rule);
    control_done(c, json_pack("{s:s%, s:b, s:s, s:o, s:o, s:o}", "address", whole.at, whole.len,
                              "local", local, "rule", rule, "recipients",
                              served(s, ROUTE_RECIPIENTS, domain), "backends",
                              served(s, ROUTE_BACKEND, domain), "auth",
                              served(s, ROUTE_AUTH, domain)));
}
