/* The web process's sandbox; see confine.h. */
#include "web/confine.h"

#include "base/sandbox.h"
#include "config/config.h"

/* Everything that the web process uses is open by now, but it looks up the names of the users that
 * give commands. */
void web_confine(const struct config *config)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_begin(&s, SANDBOX_FILES | SANDBOX_UNIX | SANDBOX_LIBRARIES, false);
    sandbox_settings(&s);
    sandbox_enter(&s);
}
