/* The web process's sandbox; see confine.h. */
#include "web/confine.h"

#include <limits.h>

#include "base/sandbox.h"
#include "config/config.h"
#include "directory/list_file.h"

/* The file of allowances is reread, as workers do. They alone keep its copy, which this process
 * reads when it starts. */
static void allow_allowances(struct sandbox *s, const struct config *config)
{
    char copies[PATH_MAX];

    list_copies(&list_allowances, config->state, copies, sizeof copies);
    sandbox_path(s, copies, SANDBOX_READ);
    sandbox_folder_of(s, config->allowance.file);
}

/* Everything else that the web process uses is open by now. It connects to nothing: the kernel says
 * who gives a command, and the master passes on what other processes must do. */
void web_confine(const struct config *config)
{
    struct sandbox s;

    if (!config->sandbox)
        return;
    sandbox_begin(&s, SANDBOX_FILES | SANDBOX_OPTIONS, false);
    if (config->allowance.file)
        allow_allowances(&s, config);
    sandbox_enter(&s);
}
