/* A clerk's sandbox; see confine.h. */
#include "clerk/confine.h"

#include <limits.h>

#include "base/sandbox.h"
#include "config/config.h"
#include "directory/list_file.h"
#include "directory/remote.h"
#include "tls/client.h"

static void allow_files(struct sandbox *s, const struct config *config)
{
    char copies[PATH_MAX];

    for (size_t i = 0; i < config->recipients_count; i++) {
        sandbox_folder_of(s, config->recipients[i].path);
        sandbox_folder_of(s, config->recipients[i].password_file);
    }
    for (size_t i = 0; i < config->auth_count; i++)
        sandbox_folder_of(s, config->auth[i].path);
    for (size_t i = 0; i < config->traps.count; i++)
        sandbox_folder_of(s, config_list_path(config->traps.at[i]));
    list_copies(&list_recipients, config->state, copies, sizeof copies);
    sandbox_path(s, copies, SANDBOX_WRITE);
}

/* Without LDAP its library is not called, because the first call makes it load all modules of SASL,
 * which took a third of a clerk's start. */
static bool asks_ldap(const struct config *config)
{
    for (size_t i = 0; i < config->recipients_count; i++)
        if (config->recipients[i].kind == RECIPIENTS_LDAP)
            return true;
    return false;
}

/* A clerk connects to directories and verifiers, which may have any name and port. The libraries
 * that look up names and speak LDAP read the machine's settings. */
void clerk_confine(const struct config *config)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_load_modules();
    sandbox_begin(&s,
                  SANDBOX_TCP | SANDBOX_UDP | SANDBOX_UNIX | SANDBOX_NETLINK | SANDBOX_FILES |
                      SANDBOX_FOLDERS | SANDBOX_THREADS | SANDBOX_MODULES | SANDBOX_OPTIONS,
                  true);
    sandbox_settings(&s);
    allow_files(&s, config);
    tls_client_allow(&s);
    if (asks_ldap(config))
        ldap_directory_allow(&s);
    sandbox_enter(&s);
}
