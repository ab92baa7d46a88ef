/* A worker's sandbox; see confine.h. */
#include "worker/confine.h"

#include <limits.h>
#include <stdio.h>

#include "base/sandbox.h"
#include "config/config.h"
#include "directory/list_file.h"
#include "tls/client.h"

enum { DNS_PORT = 53 };

/* Workers need unix sockets only for the built-in store and for backends that have one. Without
 * them a worker cannot even try to reach the control socket. */
static bool needs_unix(const struct config *config)
{
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].kind == BACKEND_STORE || config->backend[i].path)
            return true;
    return false;
}

static void allow_ports(struct sandbox *s, const struct config *config)
{
    sandbox_port(s, DNS_PORT);
    for (size_t i = 0; i < config->resolver.count; i++)
        if (config->resolvers[i].port)
            sandbox_port(s, config->resolvers[i].port);
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].addr.port)
            sandbox_port(s, config->backend[i].addr.port);
}

/* The folders of the files that workers read, and the folder of their copies, which both kinds
 * share.
 */
static void allow_lists(struct sandbox *s, const struct config *config, bool suspects)
{
    char copies[PATH_MAX];

    list_copies(&list_allowances, config->state, copies, sizeof copies);
    sandbox_path(s, copies, SANDBOX_WRITE);
    sandbox_folder_of(s, config->allowance.file);
    for (size_t i = 0; suspects && i < config->suspect.count; i++)
        sandbox_folder_of(s, config_list_path(config->suspect.at[i]));
}

void worker_confine(const struct config *config, bool lists)
{
    struct sandbox s;
    char spool[PATH_MAX];
    unsigned calls = SANDBOX_CONNECT | SANDBOX_FILES;

    if (!config->sandbox)
        return;
    if (needs_unix(config))
        calls |= SANDBOX_UNIX;
    if (lists || config->allowance.file)
        calls |= SANDBOX_FOLDERS;
    sandbox_begin(&s, calls, false);
    allow_ports(&s, config);
    snprintf(spool, sizeof spool, "%s/spool", config->state);
    sandbox_path(&s, spool, SANDBOX_WRITE);
    if (lists || config->allowance.file)
        allow_lists(&s, config, lists);
    tls_client_allow(&s);
    sandbox_enter(&s);
}
