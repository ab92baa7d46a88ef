/* The web process's sandbox; see confine.h. */
#include "web/confine.h"

#include "base/sandbox.h"
#include "config/config.h"

/* Everything that the web process uses is open by now. Only the names of users that give commands
 * must still be looked up. */
void web_confine(const struct config *config)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_begin(&s, SANDBOX_FILES | SANDBOX_UNIX | SANDBOX_LIBRARIES, false);
    sandbox_settings(&s);
    sandbox_enter(&s);
}
