/* The fleet process's sandbox; see confine.h. */
#include "fleet/confine.h"

#include "base/sandbox.h"
#include "config/config.h"
#include "tls/client.h"

void fleet_confine(const struct config *config)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_load_modules();
    sandbox_begin(&s,
                  SANDBOX_TCP | SANDBOX_UDP | SANDBOX_UNIX | SANDBOX_NETLINK | SANDBOX_FILES |
                      SANDBOX_MODULES | SANDBOX_OPTIONS,
                  true);
    sandbox_settings(&s);
    sandbox_folder_of(&s, config->fleet.password_file); /* it is read at each connection */
    sandbox_folder_of(&s, config->fleet.ca);
    tls_client_allow(&s);
    sandbox_enter(&s);
}
