/* The sandbox's root directory; see sandbox.h. Knows one capability, CAP_SYS_CHROOT, which the master
 * leaves to the processes that change their root directory, and which ends here. */
#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/sandbox.h"
#include "base/sandbox_part.h"

static const uint64_t CHROOT = (uint64_t)1 << CAP_SYS_CHROOT;

bool sandbox_may_change_root(void)
{
    uint64_t have;

    return !SANITIZED && capabilities_permitted(&have) == 0 && have & CHROOT;
}

int sandbox_keep_root(void)
{
    uint64_t have;
    int error = capabilities_permitted(&have);

    if (error || !(have & CHROOT))
        return error;
    return capabilities_set(have & ~CHROOT);
}

void sandbox_root(struct sandbox *s, int folder)
{
    s->root = folder;
}

unsigned sandbox_enter_root(const struct sandbox *s, int *error)
{
    if (s->root < 0 || !sandbox_may_change_root())
        return 0;
    if (fchdir(s->root) < 0 || chroot(".") < 0 || chdir("/") < 0) {
        *error = -errno;
        return 0;
    }
    return SANDBOX_ROOT;
}
