/* A worker's sandbox; see confine.h. */
#include "worker/confine.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "config/config.h"
#include "directory/list_file.h"
#include "tls/client.h"

enum { DNS_PORT = 53 };

/* Workers need unix sockets only for backends that have one. Without them a worker cannot even try to
 * reach the control socket. */
static bool needs_unix(const struct config *config)
{
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].path)
            return true;
    return false;
}

/* To connect to a backend by TCP. A long answer of the DNS also comes by TCP. */
static bool needs_tcp(const struct config *config)
{
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].addr.port)
            return true;
    return false;
}

static void allow_ports(struct sandbox *s, const struct config *config, bool dns)
{
    if (dns)
        sandbox_port(s, DNS_PORT);
    for (size_t i = 0; dns && i < config->resolver.count; i++)
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

/* OpenSSL looks for the machine's authorities when it checks a certificate. */
static bool needs_authorities(const struct config *config)
{
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].tls == TLS_VERIFIED)
            return true;
    return false;
}

const char *worker_needs_root(const struct config *config, bool lists)
{
    return needs_unix(config)          ? "backend"
           : needs_authorities(config) ? "backend.tls"
           : config->allowance.file    ? "allowance.file"
           : lists                     ? "suspect"
                                       : NULL;
}

unsigned worker_confine(const struct config *config, bool lists, bool dns)
{
    struct sandbox s;
    char spool[PATH_MAX];
    unsigned calls = SANDBOX_FILES;

    if (!config->sandbox)
        return 0;
    if (dns)
        calls |= SANDBOX_TCP | SANDBOX_UDP;
    if (needs_tcp(config))
        calls |= SANDBOX_TCP;
    if (needs_unix(config))
        calls |= SANDBOX_UNIX;
    if (lists || config->allowance.file)
        calls |= SANDBOX_FOLDERS;
    sandbox_begin(&s, calls, false);
    allow_ports(&s, config, dns);
    snprintf(spool, sizeof spool, "%s/spool", config->state);
    sandbox_path(&s, spool, SANDBOX_WRITE);
    if (lists || config->allowance.file)
        allow_lists(&s, config, lists);
    tls_client_allow(&s);
    int root =
        worker_needs_root(config, lists) ? -1 : open(spool, O_PATH | O_DIRECTORY | O_CLOEXEC);
    sandbox_root(&s, root);
    unsigned in_force = sandbox_enter(&s);
    if (root >= 0)
        close(root);
    return in_force;
}
