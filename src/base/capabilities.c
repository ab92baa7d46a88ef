/* Capabilities, by the system calls themselves; see capabilities.h. */
#include "base/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

int capabilities_permitted(uint64_t *caps)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    *caps = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    return 0;
}

int capabilities_set(uint64_t caps)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint32_t low = (uint32_t)caps, high = (uint32_t)(caps >> 32);
    struct __user_cap_data_struct data[2] = {{.effective = low, .permitted = low},
                                             {.effective = high, .permitted = high}};

    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
