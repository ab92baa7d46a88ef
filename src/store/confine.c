/* The store's sandbox; see confine.h. */
#include "store/confine.h"

#include <limits.h>
#include <stdio.h>

#include "base/sandbox.h"
#include "config/config.h"

/* The store needs its mailboxes, and threads to write them. */
void store_confine(const struct config *config)
{
    struct sandbox s;
    char mail[PATH_MAX];

    if (!config->sandbox)
        return;
    snprintf(mail, sizeof mail, "%s/mail", config->state);
    sandbox_begin(&s, SANDBOX_FILES | SANDBOX_FOLDERS | SANDBOX_THREADS, false);
    sandbox_path(&s, mail, SANDBOX_WRITE);
    sandbox_enter(&s);
}
