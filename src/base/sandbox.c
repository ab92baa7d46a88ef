/* The sandbox; see sandbox.h. Landlock is entered before seccomp, which forbids Landlock's calls, and
 * the root directory changes first, because it needs a capability. */
#include "base/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/sandbox_part.h"

unsigned sandbox_enter(struct sandbox *s)
{
    int error = 0;
    if (!SANITIZED && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error = -errno;
    unsigned in_force = sandbox_enter_root(s, &error);
    int kept = sandbox_keep_root();
    if (kept && !error)
        error = kept;
    in_force |= sandbox_enter_landlock(s, &error);
    in_force |= sandbox_enter_seccomp(s, &error);
    if (error)
        log_warn("this process is not confined as it should be: %s", strerrordesc_np(-error));
    metric_set(METRIC_SANDBOX_SECCOMP, in_force & SANDBOX_SECCOMP ? 1 : 0);
    metric_set(METRIC_SANDBOX_LANDLOCK, in_force & SANDBOX_LANDLOCK_FILES ? 1 : 0);
    metric_set(METRIC_SANDBOX_ROOT, in_force & SANDBOX_ROOT ? 1 : 0);
    metric_set(METRIC_SANDBOX_NONE, in_force & ~(unsigned)SANDBOX_ROOT ? 0 : 1);
    if (sandbox_door)
        sandbox_door();
    return in_force;
}

bool sandbox_is_built(void)
{
    return !SANITIZED;
}

unsigned sandbox_available(void)
{
    return (sandbox_has_seccomp() ? SANDBOX_SECCOMP : 0) | sandbox_landlock_available() |
           (sandbox_may_change_root() ? SANDBOX_ROOT : 0);
}

const char *sandbox_name(unsigned in_force)
{
    static const char *const words[] = {"",
                                        "Landlock (files)",
                                        "Landlock (files, TCP ports)",
                                        "Landlock (files, TCP ports, signals)",
                                        "seccomp",
                                        "seccomp, Landlock (files)",
                                        "seccomp, Landlock (files, TCP ports)",
                                        "seccomp, Landlock (files, TCP ports, signals)"};
    unsigned i = in_force & SANDBOX_LANDLOCK_SIGNALS ? 3
                 : in_force & SANDBOX_LANDLOCK_TCP   ? 2
                 : in_force & SANDBOX_LANDLOCK_FILES ? 1
                                                     : 0;

    in_force &= ~(unsigned)SANDBOX_ROOT;
    return in_force ? words[i + (in_force & SANDBOX_SECCOMP ? 4 : 0)] : "nothing";
}

const char *sandbox_lack(unsigned available, unsigned *at, bool *grave)
{
    static const struct {
        unsigned part, of; /* of: said only if this is there */
        bool grave;
        const char *text;
    } parts[] = {
        {SANDBOX_SECCOMP, 0, true,
         "this kernel has no seccomp, so a process that is taken over can make every system call; "
         "use a kernel with CONFIG_SECCOMP_FILTER"},
        {SANDBOX_LANDLOCK_FILES, 0, true,
         "this kernel offers no Landlock, so a process that is taken over can open what its user "
         "can; use Linux 5.19 or later with `landlock` in /sys/kernel/security/lsm"},
        {SANDBOX_LANDLOCK_TCP, SANDBOX_LANDLOCK_FILES, false,
         "this kernel's Landlock knows no TCP ports, so a worker that is taken over can connect to "
         "every port; Linux 6.7 knows them"},
        {SANDBOX_LANDLOCK_SIGNALS, SANDBOX_LANDLOCK_FILES, false,
         "this kernel's Landlock knows no signals, so only seccomp keeps processes from signalling "
         "others; Linux 6.12 knows them"}};

    while (*at < sizeof parts / sizeof *parts) {
        unsigned i = (*at)++;
        if (available & parts[i].part || (available & parts[i].of) != parts[i].of)
            continue;
        *grave = parts[i].grave;
        if (parts[i].part == SANDBOX_LANDLOCK_FILES && sandbox_landlock_forbidden())
            return "a filter of system calls (SystemCallFilter of the unit) forbids Landlock, so "
                   "no process is confined by it; allow landlock_create_ruleset, "
                   "landlock_add_rule and landlock_restrict_self there, and restart mired";
        return parts[i].text;
    }
    return NULL;
}
