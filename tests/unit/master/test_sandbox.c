/* What a process that was taken over can still do: hostile code runs in a process that has the
 * sandbox of each role. One process a deed and role, because most deeds end it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/sandbox_part.h"
#include "clerk/confine.h"
#include "config/config.h"
#include "fleet/confine.h"
#include "freezer/confine.h"
#include "keeper/confine.h"
#include "store/confine.h"
#include "web/confine.h"
#include "worker/confine.h"

static char base[64];
static uint16_t backend_port, other_port;
static pid_t parent, sibling;
static int shared[2], listener; /* descriptors that the parent has, too */
static int code_file;           /* a file whose descriptor is open for writing */
static int datagrams;           /* a unix socket that others may send to */
static struct config *config;

static const char *at(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *out = path[turn++ % 4];

    snprintf(out, sizeof path[0], "%s/%s", base, name);
    return out;
}

/* ---- roles ---- */

static void worker(const struct config *c)
{
    worker_confine(c, false, true);
}

static void store(const struct config *c)
{
    int mail = open(at("state/mail"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    store_confine(c, mail);
    close(mail);
}

static void keeper(const struct config *c)
{
    int empty = open(at("empty"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    keeper_confine(c, empty);
    close(empty);
}

static const struct {
    const char *name;
    void (*confine)(const struct config *c);
} roles[] = {
    {"worker", worker},   {"clerk", clerk_confine}, {"store", store},  {"freezer", freezer_confine},
    {"web", web_confine}, {"fleet", fleet_confine}, {"keeper", keeper}};
enum { ROLES = sizeof roles / sizeof *roles };

/* ---- deeds: 0, or -errno ---- */

static int result(long r)
{
    return r < 0 ? -errno : 0;
}

static int open_and_close(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* The same for a file below the role's root directory, or below the machine's. */
static int open_below(const char *folder, const char *name, int flags)
{
    int error = open_and_close(name, flags);

    return error ? open_and_close(at(folder), flags) : 0;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof to));
}

static int exec_program(void)
{
    char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};
    return result(execve("/bin/true", argv, envp));
}

static int exec_descriptor(void)
{
    char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};
    return result(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, envp, 0));
}

static int start_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static int start_process_by_clone3(void)
{
    uint64_t arguments[11] = {0};
    long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static void *nothing(void *arg)
{
    return arg;
}

static int start_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    return error ? -error : -pthread_join(thread, NULL);
}

static int new_namespace(void)
{
    return result(unshare(CLONE_NEWUSER));
}
static int trace_parent(void)
{
    return result(ptrace(PTRACE_ATTACH, parent, NULL, NULL));
}
static int signal_parent(void)
{
    return result(kill(parent, 0));
}
static int signal_sibling(void)
{
    return result(kill(sibling, 0));
}
static int trace_sibling(void)
{
    return result(ptrace(PTRACE_SEIZE, sibling, NULL, NULL));
}
static int read_siblings_memory(void)
{
    char octet;
    struct iovec here = {&octet, 1}, there = {base, 1};
    return result(process_vm_readv(sibling, &here, 1, &there, 1, 0));
}
static int signal_parents_thread(void)
{
    return result(syscall(SYS_tgkill, parent, parent, 0));
}
static int read_parents_memory(void)
{
    char octet;
    struct iovec here = {&octet, 1}, there = {base, 1};
    return result(process_vm_readv(parent, &here, 1, &there, 1, 0));
}
static int take_parents_descriptor(void)
{
    return result(syscall(SYS_pidfd_open, parent, 0));
}
static int limit_parent(void)
{
    struct rlimit none = {0, 0};
    return result(prlimit(parent, RLIMIT_NOFILE, &none, NULL));
}
static int leave_group(void)
{
    return result(setpgid(0, 0));
}
static int read_machine(void)
{
    return open_and_close("/etc/passwd", O_RDONLY);
}
static int read_processes(void)
{
    return open_and_close("/proc/self/maps", O_RDONLY);
}
static int write_ledger(void)
{
    return open_and_close(at("state/ledger"), O_RDWR);
}
static int read_ledger(void)
{
    return open_and_close(at("state/ledger"), O_RDONLY);
}
static int make_state_file(void)
{
    return open_and_close(at("state/new"), O_WRONLY | O_CREAT);
}
static int replace_ledger(void)
{
    return result(rename(at("state/settled"), at("state/ledger")));
}
static int remove_frozen_holds(void)
{
    return result(unlink(at("state/frozen")));
}
static int write_mixed_answers(void)
{
    return open_and_close(at("state/settled"), O_RDWR);
}
static int write_frozen_holds(void)
{
    return open_and_close(at("state/frozen"), O_RDWR);
}
static int write_history(void)
{
    return open_and_close(at("state/history"), O_RDWR);
}
static int write_mail(void)
{
    return open_below("state/mail/message", "/message", O_WRONLY | O_APPEND);
}
static int cut_ledger(void)
{
    return result(truncate(at("state/ledger"), 0));
}
static int remove_ledger(void)
{
    return result(unlink(at("state/ledger")));
}
static int read_mail(void)
{
    return open_below("state/mail/message", "/message", O_RDONLY);
}
static int read_passwords(void)
{
    return open_and_close(at("etc/passwd"), O_RDONLY);
}
static int write_passwords(void)
{
    return open_and_close(at("etc/passwd"), O_WRONLY | O_APPEND);
}
static int write_list_copy(void)
{
    return open_and_close(at("state/lists/recipients-1"), O_WRONLY | O_CREAT);
}
static int spool_file(void)
{
    struct stat st;

    if (stat("/message", &st) == 0) /* the root directory is that of the mailboxes */
        return open_and_close(at("state/spool"), O_TMPFILE | O_RDWR | O_EXCL);
    return open_below("state/spool", "/", O_TMPFILE | O_RDWR | O_EXCL);
}
static int climb_out_of_spool(void)
{
    return open_below("state/spool/../ledger", "/../ledger", O_RDWR);
}
static int link_into_spool(void)
{
    return result(symlink(at("state/ledger"), at("state/spool/link")));
}
/* Landlock lets it look, so only a root directory of its own hides these. */
static int look_at_machine(void)
{
    struct stat st;
    return result(stat("/etc/passwd", &st));
}
static int look_above_root(void)
{
    struct stat st;
    return result(stat("/../../../../etc/passwd", &st));
}
static int look_for_control(void)
{
    struct stat st;
    return result(stat(at("run/control"), &st));
}
static int fill_root(void)
{
    return open_and_close("/new", O_WRONLY | O_CREAT);
}
static int connect_backend(void)
{
    return connect_to(backend_port);
}
static int connect_elsewhere(void)
{
    return connect_to(other_port);
}
static int connect_control(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%s", at("run/control"));
    return fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof to));
}
/* Fast Open: a send that connects. */
static int send_elsewhere(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(other_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno
                  : result(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof to));
}
static int send_message_elsewhere(bool many)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(other_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct iovec octet = {base, 1};
    struct mmsghdr m = {
        .msg_hdr = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &octet, .msg_iovlen = 1}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    return result(many ? sendmmsg(fd, &m, 1, MSG_FASTOPEN) : sendmsg(fd, &m.msg_hdr, MSG_FASTOPEN));
}
static int send_one_message_elsewhere(void)
{
    return send_message_elsewhere(false);
}
static int send_messages_elsewhere(void)
{
    return send_message_elsewhere(true);
}
static int connect_elsewhere_by_option(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(other_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) < 0)
        return -errno;
    return result(connect(fd, (struct sockaddr *)&to, sizeof to));
}
static int many_paths_socket(void)
{
    return result(socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP));
}
static int many_paths_socket_of_six(void)
{
    return result(socket(AF_INET6, SOCK_STREAM, IPPROTO_MPTCP));
}
static int many_streams_socket(void)
{
    return result(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP));
}
static int ping_socket(void)
{
    return result(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
}
static int light_datagrams(void)
{
    return result(socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE));
}
static int machines_socket(void)
{
    return result(socket(AF_VSOCK, SOCK_STREAM, 0));
}
static int datagram_elsewhere(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(other_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : result(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
}
static int routes_socket(void)
{
    return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}
static int firewall_socket(void)
{
    return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
}
static int sockets_socket(void)
{
    return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}
/* One of a pair can send to others by name. */
static int pair_to_others(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int pair[2];

    snprintf(to.sun_path, sizeof to.sun_path, "%s", at("run/datagrams"));
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    return result(sendto(pair[0], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to));
}
static int pair_of_its_own(void)
{
    int pair[2];
    return result(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}
static int raw_socket(void)
{
    return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
static int packet_socket(void)
{
    return result(socket(AF_PACKET, SOCK_DGRAM, 0));
}
static int listen_on_port(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : result(bind(fd, (struct sockaddr *)&any, sizeof any));
}
static int written_code(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? -errno : 0;
}
static int data_made_code(void)
{
    static char page[2 * 4096];
    uintptr_t from = ((uintptr_t)page + 4095) & ~(uintptr_t)4095;
    return result(mprotect((void *)from, 4096, PROT_READ | PROT_EXEC));
}
static int map_code(int flags)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, flags, code_file, 0);
    return p == MAP_FAILED ? -errno : 0;
}
static int written_file(void)
{
    return map_code(MAP_PRIVATE);
}
static int file_still_written(void)
{
    return map_code(MAP_SHARED);
}
static int own_memory_as_file(void)
{
    return open_and_close("/proc/self/mem", O_RDWR);
}
/* getaddrinfo() does that when nsswitch.conf changes, and must go on. */
static int further_library(void)
{
    return dlopen("libnss_compat.so.2", RTLD_NOW) ? 0 : -EACCES;
}
static int code_in_memory_file(void)
{
    return result(memfd_create("code", 0));
}
static int own_ring(void)
{
    uint64_t params[15] = {0};
    return result(syscall(SYS_io_uring_setup, 4, params));
}
static int own_breach_handler(void)
{
    return result(signal(SIGSYS, SIG_IGN) == SIG_ERR ? -1 : 0);
}
static int own_breach_handler_by_half(void) /* the kernel reads 32 bits of the number */
{
    return result(syscall(SYS_rt_sigaction, (uint64_t)1 << 32 | SIGSYS, NULL, NULL, 8));
}
static int traceable_again(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}
static int become_root(void)
{
    return result(syscall(SYS_setuid, 0));
}
static int other_root(void)
{
    return result(chroot("/"));
}
static int kernel_program(void)
{
    return result(syscall(SYS_bpf, 0, NULL, 0));
}
static int kernel_keys(void)
{
    return result(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
}
static int performance_events(void)
{
    return result(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}
static int page_faults(void)
{
    return result(syscall(SYS_userfaultfd, 0));
}
static int files_by_handle(void)
{
    return result(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
}
static int mount_something(void)
{
    return result(syscall(SYS_mount, NULL, "/", NULL, 0, NULL));
}
static int old_calls(void) /* the 32-bit door of this machine; others have none */
{
#ifdef __x86_64__
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20 /* getpid */) : "memory");
    return r < 0 ? (int)r : 0;
#else
    return result(syscall(SYS_bpf, 0, NULL, 0));
#endif
}
static int type_into_terminal(void)
{
    return result(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
}

/* What one process does to others by what they share: descriptors, or an id. */
static int own_priority(void)
{
    return result(setpriority(PRIO_PROCESS, 0, 19));
}
static int siblings_priority(void)
{
    return result(setpriority(PRIO_PROCESS, (id_t)sibling, 19));
}
static int users_priority(void)
{
    return result(setpriority(PRIO_USER, getuid(), 19));
}
static int siblings_scheduling(void)
{
    uint32_t idle[12] = {sizeof idle, SCHED_IDLE};
    return result(syscall(SYS_sched_setattr, sibling, idle, 0));
}
static int signal_by_descriptor(void)
{
    return result(fcntl(shared[0], F_SETOWN, sibling));
}
static int signal_of_descriptor(void)
{
    return result(fcntl(shared[0], F_SETSIG, SIGTERM));
}
static int asynchronous_descriptor(void)
{
    return result(fcntl(shared[0], F_SETFL, O_NONBLOCK | O_ASYNC));
}
static int descriptor_that_waits(void)
{
    return result(fcntl(shared[0], F_SETFL, 0));
}
static int descriptor_that_waits_by_ioctl(void)
{
    int off = 0;
    return result(syscall(SYS_ioctl, shared[0], FIONBIO, &off));
}
static int descriptor_that_does_not_wait(void)
{
    return result(fcntl(shared[0], F_SETFL, O_NONBLOCK));
}
static int listener_for_later(void)
{
    int seconds = 60;
    return result(setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds));
}
static int listener_that_is_slow(void)
{
    uint32_t octets = 1;
    return result(setsockopt(listener, SOL_SOCKET, SO_MAX_PACING_RATE, &octets, sizeof octets));
}
static int filter_on_a_queue(void)
{
    struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog filter = {1, &none};
    return result(setsockopt(shared[0], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
}
static int queue_with_credentials(void)
{
    int on = 1;
    return result(setsockopt(shared[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
}
static int queue_without_room(void)
{
    int none = 0;
    return result(setsockopt(shared[0], SOL_SOCKET, SO_SNDBUF, &none, sizeof none));
}
static int log_past_the_cache(void)
{
    return result(fcntl(shared[0], F_SETFL, O_NONBLOCK | O_DIRECT));
}
static int end_of_listening(void)
{
    return result(shutdown(listener, SHUT_RD));
}
static int end_of_sending(void)
{
    return result(shutdown(shared[0], SHUT_WR));
}

/* What becomes of it, a letter a role in the order of `roles`: A allowed, D denied, K killed; and
 * the same where no process can have a root directory of its own, if that is different. */
static const struct {
    const char *name, *expected;
    int (*run)(void);
    const char *expected_in_machine;
} deeds[] = {
    {"execute a program", "KKKKKKK", exec_program},
    {"execute a descriptor", "KKKKKKK", exec_descriptor},
    {"start a process", "KKKKKKK", start_process},
    {"start a process by clone3()", "DDDDDDD", start_process_by_clone3},
    {"start a thread", "KAAKKKK", start_thread},
    {"enter a namespace", "KKKKKKK", new_namespace},
    {"trace the parent", "KKKKKKK", trace_parent},
    {"signal the parent", "KKKKKKK", signal_parent},
    {"signal a thread of the parent", "KKKKKKK", signal_parents_thread},
    {"read the parent's memory", "KKKKKKK", read_parents_memory},
    {"signal a sibling", "KKKKKKK", signal_sibling},
    {"trace a sibling", "KKKKKKK", trace_sibling},
    {"read a sibling's memory", "KKKKKKK", read_siblings_memory},
    {"take a descriptor of the parent", "KKKKKKK", take_parents_descriptor},
    {"change a limit of the parent", "KKKKKKK", limit_parent},
    {"leave the process group", "KKKKKKK", leave_group},
    {"read the machine's settings", "DADDDAK", read_machine},
    {"read the table of processes", "DDDDDDK", read_processes},
    {"write the ledger's file", "DDDDDDK", write_ledger},
    {"read the ledger's file", "DDDDDDK", read_ledger},
    {"make a file beside the ledger", "DDDDDDK", make_state_file},
    {"put another file in the ledger's place", "KDDKKKK", replace_ledger},
    {"remove the frozen holds", "DDDDDDK", remove_frozen_holds},
    {"write the memory of mixed answers", "DDDDDDK", write_mixed_answers},
    {"write the frozen holds", "DDDADDK", write_frozen_holds},
    {"write the page's history", "DDDDDDK", write_history},
    {"write into a mailbox", "DDADDDK", write_mail},
    {"truncate the ledger by path", "KKKKKKK", cut_ledger},
    {"remove the ledger", "DDDDDDK", remove_ledger},
    {"read a mailbox", "DDADDDK", read_mail},
    {"read the passwords", "DADDDDK", read_passwords},
    {"write the passwords", "DDDDDDK", write_passwords},
    {"write the copy of a list", "DADDDDK", write_list_copy},
    {"write to the spool", "ADDDDDK", spool_file},
    {"climb out of the spool", "DDDDDDK", climb_out_of_spool},
    {"make a symbolic link", "KKKKKKK", link_into_spool},
    {"look at a file of the machine", "DADAAAD", look_at_machine, "AAAAAAA"},
    {"look above its root directory", "DADAAAD", look_above_root, "AAAAAAA"},
    {"look for the control socket", "DADAAAD", look_for_control, "AAAAAAA"},
    {"make a file in its root directory", "ADADDDK", fill_root, "DDDDDDK"},
    {"connect to the backend", "AAKAKAK", connect_backend},
    {"connect elsewhere", "DAKAKAK", connect_elsewhere},
    {"connect elsewhere by a send", "DDKDKDK", send_elsewhere},
    {"connect elsewhere by a message", "DDKDKDK", send_one_message_elsewhere},
    {"connect elsewhere by messages", "DDKDKDK", send_messages_elsewhere},
    {"connect elsewhere by an option", "DAKAKAK", connect_elsewhere_by_option},
    {"open a socket of MPTCP", "DDKDKDK", many_paths_socket},
    {"open a socket of MPTCP over IPv6", "DDKDKDK", many_paths_socket_of_six},
    {"open a socket of SCTP", "KKKKKKK", many_streams_socket},
    {"open a socket of ICMP", "KKKKKKK", ping_socket},
    {"open a socket of UDP-Lite", "KKKKKKK", light_datagrams},
    {"open a socket to its virtual machine", "KKKKKKK", machines_socket},
    {"send a datagram elsewhere", "AAKKKAK", datagram_elsewhere},
    {"ask the kernel for routes", "DADADAD", routes_socket},
    {"ask the kernel for the firewall", "DDDADDD", firewall_socket},
    {"ask the kernel for others' sockets", "DDDKDDD", sockets_socket},
    {"send to a unix socket by a pair", "KAKKKAK", pair_to_others},
    {"make a pair of sockets", "AAAAAAA", pair_of_its_own},
    {"connect to the control socket", "DADDDAD", connect_control},
    {"open a raw socket", "KKKKKKK", raw_socket},
    {"open a packet socket", "KKKKKKK", packet_socket},
    {"listen on a port", "KDKAKDK", listen_on_port},
    {"run code that it has written", "KDKKKDK", written_code},
    {"make data executable", "KKKKKKK", data_made_code},
    {"run a file that it has written", "KDKKKDK", written_file},
    {"run a file while it writes it", "KDKKKDK", file_still_written},
    {"write its own code by /proc", "DDDDDDK", own_memory_as_file},
    {"load a further library", "DDDDDDK", further_library},
    {"make a file in memory", "KKKKKKK", code_in_memory_file},
    {"make a ring of io_uring", "KKKKKKK", own_ring},
    {"take away the handler of a breach", "KKKKKKK", own_breach_handler},
    {"take it away by half a number", "KKKKKKK", own_breach_handler_by_half},
    {"become traceable", "KKKKKKK", traceable_again},
    {"become root", "KKKKKKK", become_root},
    {"change its root folder", "KKKKKKK", other_root},
    {"load a program into the kernel", "KKKKKKK", kernel_program},
    {"use the kernel's keys", "KKKKKKK", kernel_keys},
    {"watch the processor", "KKKKKKK", performance_events},
    {"handle page faults", "KKKKKKK", page_faults},
    {"open files by handle", "KKKKKKK", files_by_handle},
    {"mount", "KKKKKKK", mount_something},
    {"make a system call of 32 bits", "KKKKKKK", old_calls},
    {"type into the terminal", "KKKKKKK", type_into_terminal},
    {"lower its own priority", "AAAAAAA", own_priority},
    {"lower a sibling's priority", "KKKKKKK", siblings_priority},
    {"lower the priority of its user", "KKKKKKK", users_priority},
    {"take a sibling's turns", "KKKKKKK", siblings_scheduling},
    {"let a descriptor signal a sibling", "KKKKKKK", signal_by_descriptor},
    {"choose a descriptor's signal", "KKKKKKK", signal_of_descriptor},
    {"make a descriptor send signals", "KKKKKKK", asynchronous_descriptor},
    {"make a descriptor wait", "KAAKAAK", descriptor_that_waits},
    {"make a descriptor wait, by ioctl()", "KAAKAAK", descriptor_that_waits_by_ioctl},
    {"make a descriptor not wait", "AAAAAAA", descriptor_that_does_not_wait},
    {"let a listener wait for octets", "KAAAAAK", listener_for_later},
    {"slow a listener's connections down", "KAAAAAK", listener_that_is_slow},
    {"filter what comes in on a queue", "KDDADDK", filter_on_a_queue},
    {"have credentials with each packet of a queue", "KDDADDK", queue_with_credentials},
    {"leave a queue without room", "KDDADDK", queue_without_room},
    {"write the log past the cache", "KKKKKKK", log_past_the_cache},
    {"shut down a listener", "KAAAAAK", end_of_listening},
    {"end its side of a connection", "AAAAAAA", end_of_sending},
};

static char letter(int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? 'K' : '?';
    return WEXITSTATUS(status) ? 'D' : 'A';
}

static void make_file(const char *name)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static char try(size_t role, size_t deed)
{
    int status;
    char octet;

    make_file("state/ledger"); /* one deed removes it */
    listen(listener, 8);       /* another one ends it */
    while (recv(datagrams, &octet, 1, MSG_DONTWAIT) > 0)
        continue;
    pid_t pid = fork();

    if (pid == 0) {
        log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
        roles[role].confine(config);
        _exit(deeds[deed].run() != 0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return letter(status);
}

static void test_what_a_role_does_not_need_it_cannot_do(void **state)
{
    unsigned wrong = 0;

    for (size_t d = 0; d < sizeof deeds / sizeof *deeds; d++)
        for (size_t r = 0; r < ROLES; r++) {
            bool own = sandbox_available() & SANDBOX_ROOT || !deeds[d].expected_in_machine;
            const char *expected = own ? deeds[d].expected : deeds[d].expected_in_machine;
            char got = try(r, d);
            if (got == expected[r])
                continue;
            wrong++;
            print_error("%s: %s: %c, expected %c\n", roles[r].name, deeds[d].name, got,
                        expected[r]);
        }
    assert_int_equal(wrong, 0);
}

/* The test's own doubt: without a sandbox the same deeds are possible. */
static void test_without_a_sandbox_it_could(void **state)
{
    config->sandbox = false;
    for (size_t d = 0; d < sizeof deeds / sizeof *deeds; d++)
        if (deeds[d].run == start_process || deeds[d].run == write_ledger ||
            deeds[d].run == read_mail || deeds[d].run == connect_elsewhere ||
            deeds[d].run == connect_control || deeds[d].run == pair_to_others ||
            deeds[d].run == send_elsewhere || deeds[d].run == send_one_message_elsewhere ||
            deeds[d].run == send_messages_elsewhere || deeds[d].run == many_paths_socket ||
            deeds[d].run == datagram_elsewhere || deeds[d].run == written_file ||
            deeds[d].run == file_still_written || deeds[d].run == further_library ||
            deeds[d].run == signal_parent || deeds[d].run == signal_sibling ||
            deeds[d].run == write_mixed_answers || deeds[d].run == write_mail)
            for (size_t r = 0; r < ROLES; r++)
                assert_int_equal(try(r, d), 'A');
    config->sandbox = true;
}

static int in_web(int (*deed)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
        web_confine(config);
        _exit(-deed());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int read_allowances(void)
{
    return open_and_close(at("state/worker-lists/allowances"), O_RDONLY);
}
static int write_allowances(void)
{
    return open_and_close(at("state/worker-lists/allowances"), O_WRONLY);
}
static int make_allowances(void)
{
    return open_and_close(at("state/worker-lists/new"), O_WRONLY | O_CREAT);
}

/* Workers fall back on them: they are not the page's to write. */
static void test_the_page_only_reads_the_copies_of_workers(void **state)
{
    config->allowance.file = strdup(at("etc/allowances"));
    assert_int_equal(in_web(read_allowances), 0);
    assert_int_equal(in_web(write_allowances), EACCES);
    assert_int_equal(in_web(make_allowances), EACCES);
    free(config->allowance.file);
    config->allowance.file = NULL;
}

/* A worker that asks nothing of the DNS cannot send datagrams, and one whose backend is the built-in
 * store cannot connect at all. */
static void plain_worker(const struct config *c)
{
    worker_confine(c, false, false);
}

static char try_plain(int (*deed)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
        plain_worker(config);
        _exit(deed() != 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return letter(status);
}

static void test_a_worker_has_the_network_that_its_configuration_needs(void **state)
{
    size_t backends = config->backend_count;

    assert_int_equal(try_plain(datagram_elsewhere), 'K');
    assert_int_equal(try_plain(connect_backend), 'A');
    config->backend_count = 0;
    assert_int_equal(try_plain(connect_backend), 'K');
    config->backend_count = backends;
}

static int look_up_host(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;

    if (getaddrinfo("localhost", "25", &hints, &list) != 0)
        return -ENOENT;
    freeaddrinfo(list);
    return 0;
}

static void test_clerk_and_fleet_look_up_hosts(void **state)
{
    for (size_t r = 0; r < ROLES; r++) {
        int status;

        if (roles[r].confine != clerk_confine && roles[r].confine != fleet_confine)
            continue;
        pid_t pid = fork();
        if (pid == 0) {
            roles[r].confine(config);
            _exit(look_up_host() != 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(letter(status), 'A');
    }
}

static bool is_loaded(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);

    if (handle)
        dlclose(handle);
    return handle;
}

static void test_modules_for_hosts_are_loaded_before(void **state)
{
    static const char settings[] = "passwd: hesiod\n"
                                   "  hosts :files nosuch [NOTFOUND=return]compat # hesiod\n"
                                   "hostsandmore: hesiod\n";
    int status, fd = open(at("etc/nsswitch"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_int_equal(write(fd, settings, strlen(settings)), strlen(settings));
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        bool before = is_loaded("libnss_compat.so.2");
        sandbox_load_modules_of(at("etc/nsswitch"));
        _exit(before || !is_loaded("libnss_compat.so.2") || is_loaded("libnss_hesiod.so.2"));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(letter(status), 'A');
    assert_int_equal(unlink(at("etc/nsswitch")), 0);
}

/* ---- the place ---- */

static uint16_t listen_tcp(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof any;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 128), 0);
    getsockname(fd, (struct sockaddr *)&any, &len);
    return ntohs(any.sin_port);
}

static int bind_unix(const char *name, int type)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(here.sun_path, sizeof here.sun_path, "%s", at(name));
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    return fd;
}

static int set_up(void **state)
{
    static const char *const folder[] = {
        "empty",      "etc",         "run",         "state",
        "state/mail", "state/spool", "state/lists", "state/worker-lists"};
    static struct config_backend backend;
    static struct config_auth verifier;

    snprintf(base, sizeof base, "/tmp/mired-sandbox-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    for (size_t i = 0; i < sizeof folder / sizeof *folder; i++)
        mkdir(at(folder[i]), 0700);
    make_file("state/ledger");
    make_file("state/settled");
    make_file("state/frozen");
    make_file("state/history");
    make_file("state/worker-lists/allowances");
    make_file("state/mail/message");
    make_file("etc/passwd");
    code_file = open(at("state/history"), O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(code_file, 4096), 0);
    assert_int_equal(listen(bind_unix("run/control", SOCK_STREAM), 128), 0);
    datagrams = bind_unix("run/datagrams", SOCK_DGRAM);
    backend_port = listen_tcp();
    other_port = listen_tcp();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, shared), 0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(listen(listener, 8), 0);
    parent = getpid();
    sibling = fork();
    if (sibling == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            pause();
    }
    config = config_defaults("test");
    if (!config)
        return -1;
    free(config->state);
    config->state = strdup(at("state"));
    backend = (struct config_backend){.kind = BACKEND_SMTP, .name = (char *)"smtp"};
    backend.addr.port = backend_port;
    config->backend = &backend;
    config->backend_count = 1;
    verifier = (struct config_auth){.kind = AUTH_FILE, .path = strdup(at("etc/passwd"))};
    config->auth = &verifier;
    config->auth_count = 1;
    return 0;
}

static int tear_down(void **state)
{
    static const char *const file[] = {"empty",
                                       "state/spool/link",
                                       "state/spool/new",
                                       "state/mail/new",
                                       "state/lists/recipients-1",
                                       "state/mail/message",
                                       "state/ledger",
                                       "state/settled",
                                       "state/frozen",
                                       "state/history",
                                       "state/worker-lists/allowances",
                                       "etc/passwd",
                                       "run/control",
                                       "run/datagrams",
                                       "etc",
                                       "run",
                                       "state/mail",
                                       "state/spool",
                                       "state/lists",
                                       "state/worker-lists",
                                       "state"};
    kill(sibling, SIGKILL);
    waitpid(sibling, NULL, 0);
    for (size_t i = 0; i < sizeof file / sizeof *file; i++)
        remove(at(file[i]));
    return rmdir(base);
}

/* What the filter of a role had to be compiled as, as a child of this process says it. */
static unsigned compiled_by(size_t role)
{
    unsigned compiled = 0;
    int pair[2], status;

    assert_int_equal(pipe(pair), 0);
    pid_t child = fork();
    if (child == 0) {
        roles[role].confine(config);
        compiled = sandbox_compiled();
        _exit(write(pair[1], &compiled, sizeof compiled) == sizeof compiled ? 0 : 1);
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &compiled, sizeof compiled), sizeof compiled);
    close(pair[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return compiled;
}

/* The master compiles what its children have compiled: from then on they load it. The filter is as
 * tight as before, and its process can still abort(). */
static void test_a_kept_filter_is_as_tight(void **state)
{
    unsigned first[ROLES];

    sandbox_keep(0);
    sandbox_keep(UINT32_MAX); /* what no process can have compiled */
    for (size_t i = 0; i < ROLES; i++)
        assert_true((first[i] = compiled_by(i)) > 0);
    for (size_t i = 0; i < ROLES; i++)
        sandbox_keep(first[i]);
    for (size_t i = 0; i < ROLES; i++)
        assert_int_equal(compiled_by(i), 0);
    test_what_a_role_does_not_need_it_cannot_do(state);

    int status;
    pid_t child = fork();
    if (child == 0) {
        roles[0].confine(config);
        abort();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_role_does_not_need_it_cannot_do),
        cmocka_unit_test(test_without_a_sandbox_it_could),
        cmocka_unit_test(test_the_page_only_reads_the_copies_of_workers),
        cmocka_unit_test(test_a_worker_has_the_network_that_its_configuration_needs),
        cmocka_unit_test(test_clerk_and_fleet_look_up_hosts),
        cmocka_unit_test(test_modules_for_hosts_are_loaded_before),
        cmocka_unit_test(test_a_kept_filter_is_as_tight),
    };
    const unsigned all = SANDBOX_SECCOMP | SANDBOX_LANDLOCK_FILES | SANDBOX_LANDLOCK_TCP;

    if ((sandbox_available() & all) != all)
        return 77; /* a sanitizer, or a kernel that lacks it: meson counts it as skipped */
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
