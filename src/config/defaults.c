/* Makes a configuration of nothing but the schema's defaults, and frees configurations. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

struct config *config_defaults(const char *path)
{
    struct config *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->file = strdup(path);
    if (c->file && values_preset(keys_main, c) && values_preset(keys_tls, &c->tls) &&
        values_preset(keys_tarpit, c) && values_preset(keys_web, c) &&
        values_preset(keys_fleet, &c->fleet))
        return c;
    config_free(c);
    return NULL;
}

struct tarpit_rules config_default_rules(void)
{
    struct config c = {0};
    bool made = values_preset(keys_tarpit, &c);

    assert(made);
    values_free(keys_tarpit, &c);
    return c.tarpit;
}

static void free_lists(struct config_list *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].zone);
        free(list[i].patterns.at);
        strings_free(&list[i].reply);
    }
    free(list);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    values_free(keys_main, c);
    values_free(keys_tls, &c->tls);
    free(c->tls.place);
    free(c->observe_place);
    values_free(keys_web, c);
    values_free(keys_tarpit, c);
    values_free(keys_allowance, c);
    for (size_t i = 0; i < c->listen_count; i++)
        values_free(keys_listen, &c->listen[i]);
    for (size_t i = 0; i < c->recipients_count; i++)
        values_free(keys_recipients, &c->recipients[i]);
    for (size_t i = 0; i < c->auth_count; i++)
        values_free(keys_auth, &c->auth[i]);
    for (size_t i = 0; i < c->backend_count; i++) {
        values_free(keys_backend, &c->backend[i]);
        free(c->backend[i].name);
        free(c->backend[i].path);
        free(c->backend[i].host);
    }
    config_free_fleet(c);
    values_free(keys_fleet, &c->fleet);
    free_lists(c->dnsbl, c->dnsbl_count);
    free_lists(c->dnswl, c->dnswl_count);
    free(c->resolvers);
    free(c->exempt.at);
    free(c->listen);
    free(c->recipients);
    free(c->auth);
    free(c->backend);
    routes_free(c->routes);
    free(c->file);
    free(c);
}
