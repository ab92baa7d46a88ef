/* The sandbox's system calls, by seccomp and libseccomp; see sandbox.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/sandbox_part.h"

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
    {0, "close"},
    {0, "accept4"},
    {0, "accept"},
    {0, "getsockopt"},
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
    {SANDBOX_TCP | SANDBOX_UDP | SANDBOX_UNIX, "connect"},
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
    {SANDBOX_OPTIONS, "shutdown"},
    {SANDBOX_BIND, "bind"},
    {SANDBOX_BIND, "listen"},
    {SANDBOX_NETLINK, "bind"},
    {SANDBOX_URING, "io_uring_enter"}, /* with a ring that it has by then */
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

/* Allows sockets of a family, type and protocol. The protocol matters: Landlock checks the ports of
 * TCP, and not those of MPTCP or SCTP. Raw sockets are allowed for netlink only, which has no other
 * type. */
static int allow_socket(scmp_filter_ctx filter, int family, int type, int protocol)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
                            SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)family),
                            SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, (scmp_datum_t)type),
                            SCMP_A2_64(SCMP_CMP_EQ, (scmp_datum_t)protocol));
}

/* Programs that use MPTCP if it is there (mptcpize(8) makes every program one) go on without it. */
static int refuse_mptcp(scmp_filter_ctx filter, int family)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
                            SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)family),
                            SCMP_A2_64(SCMP_CMP_EQ, IPPROTO_MPTCP));
}

static int allow_internet(scmp_filter_ctx filter, unsigned groups, int family)
{
    int error = 0;

    if (groups & SANDBOX_TCP && !(error = allow_socket(filter, family, SOCK_STREAM, 0)) &&
        !(error = allow_socket(filter, family, SOCK_STREAM, IPPROTO_TCP)))
        error = refuse_mptcp(filter, family);
    if (!error && groups & SANDBOX_UDP && !(error = allow_socket(filter, family, SOCK_DGRAM, 0)))
        error = allow_socket(filter, family, SOCK_DGRAM, IPPROTO_UDP);
    return error;
}

/* getaddrinfo() and its modules ask for addresses and routes. */
static int allow_netlink(scmp_filter_ctx filter, unsigned groups)
{
    int error = allow_socket(filter, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

    if (!error && groups & SANDBOX_NETFILTER)
        return allow_socket(filter, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 2,
                                 SCMP_A0_64(SCMP_CMP_EQ, AF_NETLINK),
                                 SCMP_A2_64(SCMP_CMP_NE, NETLINK_ROUTE));
    return error;
}

/* A pair of datagram sockets is no help to a role without unix sockets, and each of the two can send
 * to any unix socket by name. */
static int allow_pairs(scmp_filter_ctx filter, unsigned groups)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    size_t count = groups & SANDBOX_UNIX ? 3 : 2;
    int error = 0;

    for (size_t i = 0; !error && i < count; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 2,
                                 SCMP_A0_64(SCMP_CMP_EQ, AF_UNIX),
                                 SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xf, (scmp_datum_t)types[i]));
    return error;
}

static int allow_sockets(scmp_filter_ctx filter, unsigned groups)
{
    int error = allow_pairs(filter, groups);

    for (int type = SOCK_STREAM; !error && groups & SANDBOX_UNIX && type <= SOCK_DGRAM; type++)
        error = allow_socket(filter, AF_UNIX, type, 0);
    if (!error)
        error = allow_internet(filter, groups, AF_INET);
    if (!error)
        error = allow_internet(filter, groups, AF_INET6);
    if (!error && groups & SANDBOX_NETLINK)
        error = allow_netlink(filter, groups);
    else if (!error)
        error = refuse_sockets(filter, AF_NETLINK);
    if (!error && !(groups & SANDBOX_UNIX))
        error = refuse_sockets(filter, AF_UNIX);
    return error;
}

/* MSG_FASTOPEN connects within a send, where Landlock does not look. The error is the one of a kernel
 * that has it turned off, so a library that uses it knows it and can go on. */
static int allow_sends(scmp_filter_ctx filter)
{
    static const struct {
        int call;
        unsigned flags; /* which argument */
    } sends[] = {{SCMP_SYS(sendto), 3}, {SCMP_SYS(sendmsg), 2}, {SCMP_SYS(sendmmsg), 3}};
    int error = 0;

    for (size_t i = 0; !error && i < sizeof sends / sizeof *sends; i++) {
        error = allow_if(filter, sends[i].call, sends[i].flags, MSG_FASTOPEN, 0);
        if (!error)
            error = seccomp_rule_add(
                filter, SCMP_ACT_ERRNO(EOPNOTSUPP), sends[i].call, 1,
                SCMP_CMP64(sends[i].flags, SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN));
    }
    return error;
}

/* No memory becomes executable: a file that is mapped as code could be one that the process has
 * written. */
static int allow_memory(scmp_filter_ctx filter, unsigned groups)
{
    int error = allow_if(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);

    if (!error)
        error = allow_if(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
    if (!error && groups & SANDBOX_MODULES) /* then dlopen() fails */
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(mmap), 1,
                                 SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
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

/* Whether a process may make a descriptor wait. The freezer has the clients' sockets of all workers. */
static bool may_wait(unsigned groups)
{
    return groups & SANDBOX_OPTIONS && !(groups & SANDBOX_NETFILTER);
}

/* Allows fcntl(2), but not what sends signals to other processes (F_SETOWN, F_SETSIG, O_ASYNC), nor
 * what changes files and pipes for others (with O_DIRECT writes to the log would fail). A flag like
 * O_NONBLOCK belongs to all processes that share the descriptor: a process that cannot clear it cannot
 * make another one wait. */
static int allow_fcntl(scmp_filter_ctx filter, unsigned groups)
{
    static const int commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL};
    static const int locks[] = {F_GETLK, F_SETLK, F_SETLKW}; /* libraries may use these */
    uint64_t own = may_wait(groups) ? 0 : O_NONBLOCK;
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2,
                                 SCMP_A1_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, F_SETFL),
                                 SCMP_A2_64(SCMP_CMP_MASKED_EQ, O_ASYNC | O_DIRECT | own, own));

    for (size_t i = 0; !error && i < sizeof commands / sizeof *commands; i++)
        error = allow_if(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, (uint64_t)commands[i]);
    for (size_t i = 0; !error && groups & SANDBOX_MODULES && i < sizeof locks / sizeof *locks; i++)
        error = allow_if(filter, SCMP_SYS(fcntl), 1, UINT32_MAX, (uint64_t)locks[i]);
    return error;
}

static int allow_option(scmp_filter_ctx filter, uint32_t action, int level, int name)
{
    return seccomp_rule_add(filter, action, SCMP_SYS(setsockopt), 2,
                            SCMP_A1_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)level),
                            SCMP_A2_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)name));
}

/* Allows what libraries do to sockets of their own. The queues between processes are sockets, too, and
 * outlive a process: it must not leave a filter, a buffer without room, or credentials with each
 * packet on them, so these options fail. */
static int allow_many_options(scmp_filter_ctx filter)
{
    static const int levels[] = {IPPROTO_IP,   IPPROTO_TCP, IPPROTO_UDP,
                                 IPPROTO_IPV6, SOL_TLS,     SOL_NETLINK};
    static const int lasting[] = {SO_ATTACH_FILTER,
                                  SO_DETACH_FILTER,
                                  SO_LOCK_FILTER,
                                  SO_ATTACH_BPF,
                                  SO_PASSCRED,
                                  SO_PASSSEC,
                                  SO_SNDBUF,
                                  SO_RCVBUF,
                                  SO_SNDBUFFORCE,
                                  SO_RCVBUFFORCE,
                                  SO_RCVLOWAT,
                                  SO_PEEK_OFF,
                                  SO_ATTACH_REUSEPORT_CBPF,
                                  SO_ATTACH_REUSEPORT_EBPF};
    enum { NAMES = 80 }; /* more than Linux 6.12 has */
    int error = 0;

    for (size_t i = 0; !error && i < sizeof levels / sizeof *levels; i++)
        error = allow_if(filter, SCMP_SYS(setsockopt), 1, UINT32_MAX, (uint64_t)levels[i]);
    for (int name = 1; !error && name < NAMES; name++) {
        bool lasts = false;
        for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++)
            lasts = lasts || name == lasting[i];
        error =
            allow_option(filter, lasts ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW, SOL_SOCKET, name);
    }
    return error;
}

/* Allows a role without SANDBOX_OPTIONS what workers and c-ares do to their sockets. A worker shares
 * its listeners with its successors, so an option like SO_MAX_PACING_RATE, SO_RCVBUF or IP_MINTTL
 * would last longer than the worker. */
static int allow_options(scmp_filter_ctx filter, unsigned groups)
{
    static const struct {
        int level, name;
    } options[] = {{SOL_SOCKET, SO_RCVLOWAT},
                   {SOL_SOCKET, SO_LOCK_FILTER},
                   {IPPROTO_TCP, TCP_NODELAY},
                   {IPPROTO_TCP, TCP_FASTOPEN_CONNECT}};
    int error = 0;

    if (groups & SANDBOX_OPTIONS) {
        /* the freezer restores the buffers of connections, and netlink needs large ones */
        error = groups & SANDBOX_NETFILTER
                    ? seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 0)
                    : allow_many_options(filter);
        return error || !may_wait(groups)
                   ? error
                   : allow_if(filter, SCMP_SYS(ioctl), 1, UINT32_MAX, FIONBIO);
    }
    for (size_t i = 0; !error && i < sizeof options / sizeof *options; i++)
        error = allow_option(filter, SCMP_ACT_ALLOW, options[i].level, options[i].name);
    if (!error)
        error = allow_if(filter, SCMP_SYS(shutdown), 1, UINT32_MAX, SHUT_WR);
    return error;
}

/* Allows a process its own priority, up to a limit that the master has set, and no other's. */
static int allow_priority(scmp_filter_ctx filter)
{
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 2,
                                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, PRIO_PROCESS),
                                 SCMP_A1_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, 0));

    return error ? error : allow_if(filter, SCMP_SYS(sched_setattr), 0, UINT32_MAX, 0);
}

/* Calls whose arguments matter. */
static int allow_some(scmp_filter_ctx filter)
{
    static const unsigned long ioctls[] = {FIONREAD, TIOCOUTQ, TCGETS};
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
                                 SCMP_A0_64(SCMP_CMP_EQ, SANDBOX_OWN_ID));
    return error;
}

/* The handler of a breach stays; see breached(). The kernel takes the number's lower half only, so
 * "not equal to SIGSYS" would allow SIGSYS with something in the upper half: the numbers that are
 * allowed have nothing there. */
static int allow_handlers(scmp_filter_ctx filter)
{
    int error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(rt_sigaction), 1,
                                 SCMP_A0_64(SCMP_CMP_MASKED_EQ, UINT32_MAX, SIGSYS));

    for (int number = 1; !error && number <= 64; number++)
        if (number != SIGSYS)
            error = allow_if(filter, SCMP_SYS(rt_sigaction), 0, UINT64_MAX, (uint64_t)number);
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
        error = allow_sends(filter);
    if (!error)
        error = allow_sockets(filter, groups);
    if (!error)
        error = allow_memory(filter, groups);
    if (!error)
        error = allow_threads(filter, groups);
    if (!error)
        error = allow_fcntl(filter, groups);
    if (!error)
        error = allow_options(filter, groups);
    if (!error)
        error = allow_priority(filter);
    if (!error)
        error = allow_some(filter);
    if (!error)
        error = allow_handlers(filter);
    return error;
}

bool sandbox_has_seccomp(void)
{
    return !SANITIZED && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

int sandbox_make_filter(unsigned groups, void **filter)
{
    /* Level 3 (Linux 4.14) has all that is used here. libseccomp would find the level out by
     * seccomp(2), which a filter of systemd's may forbid. */
    (void)seccomp_api_set(3);
    *filter = seccomp_init(SCMP_ACT_TRAP);
    if (!*filter)
        return -ENOMEM;
    /* a binary search in place of one through all calls */
    int error = seccomp_attr_set(*filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!error)
        error = add_rules(*filter, groups);
    if (error)
        seccomp_release(*filter);
    return error;
}

unsigned sandbox_enter_seccomp(const struct sandbox *s, int *error)
{
    struct sigaction action = {.sa_sigaction = breached, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (!sandbox_has_seccomp())
        return 0;
    int failed = sigaction(SIGSYS, &action, NULL) < 0 ? -errno : sandbox_load_filter(s->calls);
    if (failed && !*error)
        *error = failed;
    return failed ? 0 : SANDBOX_SECCOMP;
}
