/* The sandbox's root directory; see sandbox.h. Knows one capability, CAP_SYS_CHROOT, which the master
 * leaves to the processes that change their root directory, and which ends here. */
#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "base/sandbox_part.h"

static const uint32_t CHROOT = (uint32_t)1 << CAP_SYS_CHROOT;

static int get(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

bool sandbox_may_change_root(void)
{
    struct __user_cap_data_struct data[2];

    return !SANITIZED && get(data) == 0 && data[0].effective & CHROOT;
}

int sandbox_keep_root(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    int error = get(data);

    if (error || !(data[0].permitted & CHROOT))
        return error;
    data[0].effective &= ~CHROOT;
    data[0].permitted &= ~CHROOT;
    data[0].inheritable &= ~CHROOT;
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
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
