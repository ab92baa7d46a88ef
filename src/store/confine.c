/* The store's sandbox; see confine.h. */
#include "store/confine.h"

#include <limits.h>
#include <stdio.h>

#include "base/sandbox.h"
#include "config/config.h"

/* The store needs its mailboxes, and threads to write them. */
void store_confine(const struct config *config, int mail)
{
    struct sandbox s;
    char path[PATH_MAX];

    if (!config->sandbox)
        return;
    snprintf(path, sizeof path, "%s/mail", config->state);
    sandbox_begin(&s, SANDBOX_FILES | SANDBOX_FOLDERS | SANDBOX_THREADS | SANDBOX_OPTIONS, false);
    sandbox_path(&s, path, SANDBOX_WRITE);
    sandbox_root(&s, mail);
    sandbox_enter(&s);
}
