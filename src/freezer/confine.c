/* The freezer's sandbox; see confine.h. */
#include "freezer/confine.h"

#include "base/sandbox.h"
#include "config/config.h"
#include "freezer/freezer.h"

/* The freezer restores sockets with the addresses and ports that clients had. It reads nothing that
 * a stranger sent. Of the state folder, which has what other roles write, it can only open the file
 * that is its table at this moment, and it can make, rename and remove nothing: freezer.c prepares
 * the file before, and leaves the process if another file must take its place. */
void freezer_confine(const struct config *config)
{
    struct sandbox s;
    char table[FREEZER_PATH];

    if (!config->sandbox)
        return;
    sandbox_begin(&s,
                  SANDBOX_TCP | SANDBOX_BIND | SANDBOX_NETLINK | SANDBOX_NETFILTER | SANDBOX_URING |
                      SANDBOX_FILES | SANDBOX_OPTIONS,
                  true);
    sandbox_path(&s, freezer_path(config->state, table), SANDBOX_WRITE);
    sandbox_enter(&s);
}
