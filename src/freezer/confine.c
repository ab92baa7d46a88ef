/* The freezer's sandbox; see confine.h. */
#include "freezer/confine.h"

#include "base/sandbox.h"
#include "config/config.h"

/* The freezer restores sockets with the addresses and ports that clients had, and has its table in
 * the state folder. It reads nothing that a stranger sent. */
void freezer_confine(const struct config *config)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_begin(&s,
                  SANDBOX_CONNECT | SANDBOX_BIND | SANDBOX_NETLINK | SANDBOX_URING | SANDBOX_FILES |
                      SANDBOX_FOLDERS | SANDBOX_OPTIONS,
                  true);
    sandbox_path(&s, config->state, SANDBOX_WRITE);
    sandbox_enter(&s);
}
