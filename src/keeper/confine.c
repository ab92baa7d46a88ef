/* The keeper's sandbox; see confine.h. */
#include "keeper/confine.h"

#include "base/sandbox.h"
#include "config/config.h"

/* Everything that it uses is mapped or open: no file, no socket, no thread. */
void keeper_confine(const struct config *config, int empty)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_begin(&s, 0, false);
    sandbox_root(&s, empty);
    sandbox_enter(&s);
}
