/* The sandbox; see sandbox.h. Landlock is entered before seccomp, which forbids Landlock's calls. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/log.h"
#include "base/metrics.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- Landlock ---- */

/* The build machine's linux/landlock.h may be older than the kernel that mired runs on, so its
 * numbers are copied here (Documentation/userspace-api/landlock.rst). */
enum { SYS_CREATE_RULES = 444, SYS_ADD_RULE = 445, SYS_RESTRICT_SELF = 446 };
enum { CREATE_VERSION = 1, RULE_PATH = 1, RULE_PORT = 2 };
enum { VERSION_REFER = 2, VERSION_TCP = 4, VERSION_SCOPE = 6 };
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_VERSION_1 = (1 << 13) - 1, /* all of version 1 */
    FS_REFER = 1 << 13,           /* 2: link and rename from one folder to another */
    FS_TRUNCATE = 1 << 14,        /* 3 */
    FS_IOCTL_DEV = 1 << 15,       /* 5 */
    FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV
};
enum { NET_BIND = 1, NET_CONNECT = 2 };
enum { SCOPE_ABSTRACT_UNIX = 1, SCOPE_SIGNAL = 2 };

struct rules {
    uint64_t files, net, scope; /* what is forbidden unless a rule allows it */
};
struct path_rule {
    uint64_t allowed;
    int32_t folder;
} __attribute__((packed));
struct port_rule {
    uint64_t allowed, port;
};

static uint64_t file_rights(int version)
{
    uint64_t rights = FS_VERSION_1;

    if (version >= VERSION_REFER)
        rights |= FS_REFER;
    if (version >= 3)
        rights |= FS_TRUNCATE;
    if (version >= 5)
        rights |= FS_IOCTL_DEV;
    return rights;
}

/* Version 1 forbids every link from one folder to another. Mailboxes get messages that way, so
 * version 1 counts as none. */
static int landlock_version(void)
{
    long version = SANITIZED ? 0 : syscall(SYS_CREATE_RULES, NULL, 0, CREATE_VERSION);

    return version < VERSION_REFER ? 0 : (int)version;
}

void sandbox_begin(struct sandbox *s, unsigned calls, bool any_port)
{
    struct rules rules = {0};

    *s = (struct sandbox){.calls = calls, .rules = -1, .any_port = any_port};
    s->version = landlock_version();
    if (!s->version)
        return;
    rules.files = file_rights(s->version);
    if (s->version >= VERSION_TCP)
        rules.net = (calls & SANDBOX_BIND ? 0 : NET_BIND) | (any_port ? 0 : NET_CONNECT);
    if (s->version >= VERSION_SCOPE)
        rules.scope = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    size_t size = s->version >= VERSION_SCOPE ? sizeof rules
                  : s->version >= VERSION_TCP ? 2 * sizeof(uint64_t)
                                              : sizeof(uint64_t);
    s->rules = (int)syscall(SYS_CREATE_RULES, &rules, size, 0);
}

void sandbox_path(struct sandbox *s, const char *path, enum sandbox_rights rights)
{
    struct stat st;
    int fd = s->rules >= 0 && path ? open(path, O_PATH | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    struct path_rule rule = {.allowed = FS_READ_FILE | FS_READ_DIR, .folder = fd};
    if (rights == SANDBOX_WRITE)
        rule.allowed |= FS_WRITE_FILE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR |
                        FS_REFER | FS_TRUNCATE;
    rule.allowed &= file_rights(s->version);
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed &= FS_OF_FILES;
    syscall(SYS_ADD_RULE, s->rules, RULE_PATH, &rule, 0);
    close(fd);
}

static void allow_folder(struct sandbox *s, const char *file)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) : 0;

    if (len >= sizeof folder)
        return;
    memcpy(folder, file, len);
    folder[len] = '\0';
    sandbox_path(s, !slash ? "." : len ? folder : "/", SANDBOX_READ);
}

void sandbox_folder_of(struct sandbox *s, const char *file)
{
    char real[PATH_MAX];

    if (!file)
        return;
    allow_folder(s, file);
    if (realpath(file, real))
        allow_folder(s, real);
}

void sandbox_settings(struct sandbox *s)
{
    static const char *const path[] = {"/etc", "/usr", "/lib", "/lib64", "/run/systemd"};

    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        sandbox_path(s, path[i], SANDBOX_READ);
}

void sandbox_port(struct sandbox *s, uint16_t port)
{
    struct port_rule rule = {.allowed = NET_CONNECT, .port = port};

    if (s->rules >= 0 && s->version >= VERSION_TCP && !s->any_port)
        syscall(SYS_ADD_RULE, s->rules, RULE_PORT, &rule, 0);
}

static unsigned enter_landlock(struct sandbox *s, int *error)
{
    if (!s->version)
        return 0;
    if (s->rules < 0 || syscall(SYS_RESTRICT_SELF, s->rules, 0) < 0) {
        *error = -errno;
        return 0;
    }
    close(s->rules);
    s->rules = -1;
    unsigned in_force = SANDBOX_LANDLOCK_FILES;
    if (s->version >= VERSION_TCP && !s->any_port)
        in_force |= SANDBOX_LANDLOCK_TCP;
    if (s->version >= VERSION_SCOPE)
        in_force |= SANDBOX_LANDLOCK_SIGNALS;
    return in_force;
}

/* ---- seccomp ---- */

/* Calls without a condition, by the group that needs them (0: every role). */
static const struct {
    unsigned group;
    const char *name;
} calls[] = {
    {0, "read"},
    {0, "write"},
    {0, "readv"},
    {0, "writev"},
    {0, "pread64"},
    {0, "pwrite64"},
    {0, "recvfrom"},
    {0, "recvmsg"},
    {0, "recvmmsg"},
    {0, "sendto"},
    {0, "sendmsg"},
    {0, "sendmmsg"},
    {0, "close"},
    {0, "shutdown"},
    {0, "accept4"},
    {0, "accept"},
    {0, "getsockopt"},
    {0, "setsockopt"},
    {0, "getsockname"},
    {0, "getpeername"},
    {0, "epoll_create1"},
    {0, "epoll_ctl"},
    {0, "epoll_wait"},
    {0, "epoll_pwait"},
    {0, "poll"},
    {0, "ppoll"},
    {0, "select"},
    {0, "pselect6"},
    {0, "eventfd2"},
    {0, "pipe2"},
    {0, "dup"},
    {0, "timerfd_create"},
    {0, "timerfd_settime"},
    {0, "lseek"},
    {0, "fstat"},
    {0, "newfstatat"},
    {0, "statx"},
    {0, "ftruncate"},
    {0, "fallocate"},
    {0, "flock"},
    {0, "fcntl"},
    /* memory */
    {0, "brk"},
    {0, "munmap"},
    {0, "mremap"},
    {0, "madvise"},
    {0, "msync"},
    {0, "mincore"},
    /* time, identity, limits: to be read */
    {0, "clock_gettime"},
    {0, "clock_getres"},
    {0, "clock_nanosleep"},
    {0, "nanosleep"},
    {0, "gettimeofday"},
    {0, "time"},
    {0, "times"},
    {0, "getrusage"},
    {0, "sysinfo"},
    {0, "uname"},
    {0, "getpid"},
    {0, "gettid"},
    {0, "getppid"},
    {0, "getuid"},
    {0, "geteuid"},
    {0, "getgid"},
    {0, "getegid"},
    {0, "getpgrp"},
    {0, "getpgid"},
    {0, "getrlimit"},
    {0, "getrandom"},
    {0, "getcpu"},
    {0, "sched_getaffinity"},
    {0, "getpriority"},
    {0, "sched_getattr"},
    /* locks and signals of the process's own */
    {0, "futex"},
    {0, "set_robust_list"},
    {0, "rseq"},
    {0, "membarrier"},
    {0, "sched_yield"},
    {0, "rt_sigprocmask"},
    {0, "rt_sigreturn"},
    {0, "rt_sigpending"},
    {0, "rt_sigtimedwait"},
    {0, "sigaltstack"},
    {0, "restart_syscall"},
    {0, "alarm"},
    {0, "setitimer"},
    {0, "exit"},
    {0, "exit_group"},
    /* its own priority, up to a limit that the master has set */
    {0, "setpriority"},
    {0, "sched_setattr"},
    {SANDBOX_CONNECT | SANDBOX_UNIX, "connect"},
    {SANDBOX_FILES, "open"},
    {SANDBOX_FILES, "openat"},
    {SANDBOX_FILES, "access"},
    {SANDBOX_FILES, "faccessat"},
    {SANDBOX_FILES, "faccessat2"},
    {SANDBOX_FILES, "stat"},
    {SANDBOX_FILES, "lstat"},
    {SANDBOX_FILES, "readlink"},
    {SANDBOX_FILES, "readlinkat"},
    {SANDBOX_FILES, "getdents64"},
    {SANDBOX_FILES, "fstatfs"},
    {SANDBOX_FILES, "statfs"},
    {SANDBOX_FILES, "fsync"},
    {SANDBOX_FILES, "fdatasync"},
    {SANDBOX_FILES, "fadvise64"},
    {SANDBOX_FILES, "getcwd"},
    {SANDBOX_FILES, "copy_file_range"},
    {SANDBOX_FILES, "sendfile"},
    {SANDBOX_FILES, "unlink"},
    {SANDBOX_FILES, "unlinkat"},
    {SANDBOX_FILES, "umask"},
    {SANDBOX_FOLDERS, "mkdir"},
    {SANDBOX_FOLDERS, "mkdirat"},
    {SANDBOX_FOLDERS, "rmdir"},
    {SANDBOX_FOLDERS, "link"},
    {SANDBOX_FOLDERS, "linkat"},
    {SANDBOX_FOLDERS, "rename"},
    {SANDBOX_FOLDERS, "renameat"},
    {SANDBOX_FOLDERS, "renameat2"},
    {SANDBOX_FOLDERS, "fchmod"},
    {SANDBOX_FOLDERS, "utimensat"},
    {SANDBOX_BIND, "bind"},
    {SANDBOX_BIND, "listen"},
    {SANDBOX_NETLINK, "bind"},
    {SANDBOX_URING, "io_uring_setup"},
    {SANDBOX_URING, "io_uring_enter"},
    {SANDBOX_URING, "io_uring_register"},
};

static int allow(scmp_filter_ctx filter, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    return number < 0 ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0); /* other machine */
}

static int allow_calls(scmp_filter_ctx filter, unsigned groups)
{
    int error = 0;

    for (size_t i = 0; !error && i < sizeof calls / sizeof *calls; i++)
        if (!calls[i].group || calls[i].group & groups)
            error = allow(filter, calls[i].name);
    return error;
}

/* Allows `call` if (argument `arg` & `mask`) == `value`. */
static int allow_if(scmp_filter_ctx filter, int call, unsigned arg, uint64_t mask, uint64_t value)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                            SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value));
}

/* The C library asks the machine's services for names, over unix sockets and netlink, and manages
 * without them. So such a socket is refused with an error, and does not end the process. */
static int refuse_sockets(scmp_filter_ctx filter, int family)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                            SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)family));
}

/* Allows sockets of a family and type. Raw sockets are allowed for netlink only, which has no other
 * type. */
static int allow_socket(scmp_filter_ctx filter, int family, int type)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                            SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)family),
                            SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, (scmp_datum_t)type));
}

static int allow_sockets(scmp_filter_ctx filter, unsigned groups)
{
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                                 SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX));

    for (int type = SOCK_STREAM; !error && type <= SOCK_DGRAM; type++) {
        if (groups & SANDBOX_CONNECT)
            error = allow_socket(filter, AF_INET, type);
        if (!error && groups & SANDBOX_CONNECT)
            error = allow_socket(filter, AF_INET6, type);
        if (!error && groups & SANDBOX_UNIX)
            error = allow_socket(filter, AF_UNIX, type);
    }
    if (!error && groups & SANDBOX_NETLINK)
        error = allow_socket(filter, AF_NETLINK, SOCK_RAW);
    else if (!error)
        error = refuse_sockets(filter, AF_NETLINK);
    if (!error && !(groups & SANDBOX_UNIX))
        error = refuse_sockets(filter, AF_UNIX);
    return error;
}

/* Memory that can be written is never executable, and executable memory comes from a file. */
static int allow_memory(scmp_filter_ctx filter, unsigned groups)
{
    int error = allow_if(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);

    if (!error)
        error = allow_if(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
    if (!error && groups & SANDBOX_LIBRARIES)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                                 SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_EXEC),
                                 SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0));
    return error;
}

/* Allows threads as glibc starts them, but no processes and no namespaces. clone3() has its flags
 * in memory, where a filter cannot look. So it fails as if the kernel did not have it, and glibc
 * uses clone(). */
static int allow_threads(scmp_filter_ctx filter, unsigned groups)
{
    const uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                           CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                           CLONE_CHILD_CLEARTID;
    int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    if (!error && groups & SANDBOX_THREADS)
        error = allow_if(filter, SCMP_SYS(clone), 0, UINT64_MAX, flags);
    return error;
}

/* Calls whose arguments matter. */
static int allow_some(scmp_filter_ctx filter)
{
    static const unsigned long ioctls[] = {FIONREAD, FIONBIO, TIOCOUTQ, TCGETS};
    static const int names[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_DUMPABLE};
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                                 SCMP_A0_64(SCMP_CMP_EQ, 0), SCMP_A2_64(SCMP_CMP_EQ, 0));

    for (size_t i = 0; !error && i < sizeof ioctls / sizeof *ioctls; i++)
        error = allow_if(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, ioctls[i]);
    for (size_t i = 0; !error && i < sizeof names / sizeof *names; i++)
        error = allow_if(filter, SCMP_SYS(prctl), 0, UINT32_MAX, (uint64_t)names[i]);
    if (!error) /* glibc names its memory where the kernel can, and goes on where it cannot */
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                                 SCMP_A0_64(SCMP_CMP_EQ, 0x53564d41 /* PR_SET_VMA */));
    if (!error) /* abort() */
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                 SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!error) /* the handler of a breach stays; see breached() */
        error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(rt_sigaction), 1,
                                 SCMP_A0_64(SCMP_CMP_EQ, SIGSYS));
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 1,
                                 SCMP_A0_64(SCMP_CMP_NE, SIGSYS));
    return error;
}

/* A call was not allowed. Logs which one, and ends the process: the kernel kills it when it tries
 * to remove this handler, whatever else it has changed. If the log cannot be written, because the
 * signal came in the middle of a write, the alarm ends the process. */
static void breached(int signal_number, siginfo_t *info, void *context)
{
    signal(SIGALRM, SIG_DFL);
    alarm(1);
    char *name = seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall);
    log_error("system call %s (%d) is not allowed in this process; it ends. Please report it. "
              "`sandbox = false` turns the check off",
              name ? name : "?", info->si_syscall);
    signal(SIGSYS, SIG_DFL);
    _exit(128 + SIGSYS);
}

static int add_rules(scmp_filter_ctx filter, unsigned groups)
{
    int error = allow_calls(filter, groups);

    if (!error)
        error = allow_sockets(filter, groups);
    if (!error)
        error = allow_memory(filter, groups);
    if (!error)
        error = allow_threads(filter, groups);
    if (!error)
        error = allow_some(filter);
    return error;
}

static bool has_seccomp(void)
{
    return !SANITIZED && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

static unsigned enter_seccomp(const struct sandbox *s, int *error)
{
    struct sigaction action = {.sa_sigaction = breached, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (!has_seccomp())
        return 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    int failed = filter ? 0 : -ENOMEM;
    if (!failed && sigaction(SIGSYS, &action, NULL) < 0)
        failed = -errno;
    if (!failed) /* a binary search in place of one through all calls */
        failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!failed)
        failed = add_rules(filter, s->calls);
    if (!failed)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed && !*error)
        *error = failed;
    return failed ? 0 : SANDBOX_SECCOMP;
}

unsigned sandbox_enter(struct sandbox *s)
{
    int error = 0;
    if (!SANITIZED && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error = -errno;
    unsigned in_force = enter_landlock(s, &error);
    in_force |= enter_seccomp(s, &error);
    if (error)
        log_warn("this process is not confined as it should be: %s", strerrordesc_np(-error));
    metric_set(METRIC_SANDBOX_SECCOMP, in_force & SANDBOX_SECCOMP ? 1 : 0);
    metric_set(METRIC_SANDBOX_LANDLOCK, in_force & SANDBOX_LANDLOCK_FILES ? 1 : 0);
    metric_set(METRIC_SANDBOX_NONE, in_force ? 0 : 1);
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
    int version = landlock_version();

    return (has_seccomp() ? SANDBOX_SECCOMP : 0) | (version ? SANDBOX_LANDLOCK_FILES : 0) |
           (version >= VERSION_TCP ? SANDBOX_LANDLOCK_TCP : 0) |
           (version >= VERSION_SCOPE ? SANDBOX_LANDLOCK_SIGNALS : 0);
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

    return in_force ? words[i + (in_force & SANDBOX_SECCOMP ? 4 : 0)] : "nothing";
}
