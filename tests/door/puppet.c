/* Hostile code in any running process of mired: does what a script of the test says, when the signal
 * SIGRTMIN + 11 comes, and logs what came of each line.
 *
 * The script is the file $MIRED_DOOR_SCRIPT. The master maps it before it starts processes, so they
 * read what the test writes there although they can open no file. A line is a number that the test
 * chooses, a verb and its arguments. The result is 0, the name of an error, "killed" where the filter
 * of system calls ends the process, or a word of the verb's own. To try many such calls in one process,
 * the handler of the breach is left by a jump. Real hostile code cannot do that (its addresses are
 * read-only), and it would gain nothing: the call is not made. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mapfile.h"
#include "base/sandbox.h"
#include "freezer/return_channels.h"
#include "puppet.h"
#include "query/notes.h"

enum { SCRIPT_SIZE = 16384, WORDS = 8, DESCRIPTORS = 1024, BIG = 60000, ANSWER_MS = 5000 };

static const char *script;
static sigjmp_buf back;
static volatile sig_atomic_t trying;

static __attribute__((constructor)) void map_script(void)
{
    const char *path = getenv("MIRED_DOOR_SCRIPT");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *at = mmap(NULL, SCRIPT_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    script = at == MAP_FAILED ? NULL : at;
    close(fd);
}

char *__real_seccomp_syscall_resolve_num_arch(uint32_t arch, int number);
char *__wrap_seccomp_syscall_resolve_num_arch(uint32_t arch, int number);

/* The handler of a breach asks for the name of the call, after it has set an alarm. */
char *__wrap_seccomp_syscall_resolve_num_arch(uint32_t arch, int number)
{
    if (trying) {
        alarm(0);
        siglongjmp(back, 1);
    }
    return __real_seccomp_syscall_resolve_num_arch(arch, number);
}

/* ---- what the processes have ---- */

static struct mapped {
    char name[32];
    void *at;
    size_t size;
} mapped[16];
static size_t mapped_count;

int __real_mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                        size_t body_size);
int __wrap_mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                        size_t body_size);

int __wrap_mapfile_open(struct mapfile *m, const char *path, const char magic[8], uint32_t version,
                        size_t body_size)
{
    int error = __real_mapfile_open(m, path, magic, version, body_size);

    if (!error && path && mapped_count < sizeof mapped / sizeof *mapped) {
        const char *name = strrchr(path, '/');
        struct mapped *one = &mapped[mapped_count++];
        snprintf(one->name, sizeof one->name, "%s", name ? name + 1 : path);
        one->at = m->body;
        one->size = m->body_size;
    }
    return error;
}

static const struct freezer_params *freezer;

int __real_return_channels_open(struct return_channels *w, struct loop *loop, struct calls *calls,
                                const struct freezer_params *params);
int __wrap_return_channels_open(struct return_channels *w, struct loop *loop, struct calls *calls,
                                const struct freezer_params *params);

int __wrap_return_channels_open(struct return_channels *w, struct loop *loop, struct calls *calls,
                                const struct freezer_params *params)
{
    freezer = params;
    return __real_return_channels_open(w, loop, calls, params);
}

/* What the freezer has given back last, for `again`. */
static struct handoff last;
static int last_fd[HANDOFF_BATCH];

int __real_handoff_send(int sock, struct handoff *h);
int __wrap_handoff_send(int sock, struct handoff *h);

int __wrap_handoff_send(int sock, struct handoff *h)
{
    if (freezer && script && h->count) {
        last = *h;
        for (uint32_t i = 0; i < last.count; i++) {
            last.item[i].session.at = last.octets + (h->item[i].session.at - h->octets);
            last.item[i].fd = last_fd[i] = dup(h->item[i].fd);
        }
    }
    return __real_handoff_send(sock, h);
}

/* ---- verbs; argument [0] is the verb ---- */

static int result(long r)
{
    return r < 0 ? -errno : 0;
}

static long number(const char *text)
{
    return text ? strtol(text, NULL, 10) : 0;
}

static int open_path(char **arg)
{
    static const struct {
        const char *how;
        int flags;
    } hows[] = {{"read", O_RDONLY}, {"write", O_WRONLY}, {"make", O_WRONLY | O_CREAT}};
    int flags = 0;

    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++)
        if (strcmp(arg[2], hows[i].how) == 0)
            flags = hows[i].flags;
    int fd = open(arg[1], flags | O_CLOEXEC | O_NONBLOCK, 0600);
    int error = result(fd);
    if (fd >= 0)
        close(fd);
    return error;
}

static int remove_path(char **arg)
{
    return result(unlink(arg[1]));
}

static int move_path(char **arg)
{
    return result(rename(arg[1], arg[2]));
}

static int connect_tcp(char **arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)number(arg[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof to));

    if (fd >= 0)
        close(fd);
    return error;
}

static int send_udp(char **arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)number(arg[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? -errno : result(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));

    if (fd >= 0)
        close(fd);
    return error;
}

static int connect_unix(char **arg)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%s", arg[1]);
    int error = fd < 0 ? -errno : result(connect(fd, (struct sockaddr *)&to, sizeof to));
    if (fd >= 0)
        close(fd);
    return error;
}

int puppet_command(const char *path, char answer[PUPPET_ANSWER])
{
    static const char command[] = "{\"v\":1,\"command\":\"stop\"}\n";
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

    answer[0] = '\0';
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        error = -errno;
    } else {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n = write(fd, command, sizeof command - 1);
        error = n > 0 && poll(&p, 1, ANSWER_MS) == 0 ? -ETIME : 0;
        n = error ? 0 : read(fd, answer, PUPPET_ANSWER - 1);
        answer[n > 0 ? n : 0] = '\0';
    }
    if (fd >= 0)
        close(fd);
    return error;
}

/* command PATH: 0 if it is obeyed; EPERM if mired refuses it, or closes the socket. */
static int give_command(char **arg)
{
    char answer[PUPPET_ANSWER];
    int error = puppet_command(arg[1], answer);

    return error ? error : strstr(answer, "\"ok\":true") ? 0 : -EPERM;
}

static int execute(char **arg)
{
    char *const argv[] = {arg[1], NULL}, *const envp[] = {NULL};
    return result(execve(arg[1], argv, envp));
}

/* Not by fork(), which the breach would leave with the C library's locks held. */
static int start_process(char **arg)
{
    long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    return result(pid);
}

static int trace(char **arg)
{
    return result(ptrace(PTRACE_SEIZE, (pid_t)number(arg[1]), NULL, NULL));
}

static int read_memory(char **arg)
{
    char octet;
    struct iovec here = {&octet, 1}, there = {(void *)script, 1};
    return result(process_vm_readv((pid_t)number(arg[1]), &here, 1, &there, 1, 0));
}

static int write_memory(char **arg)
{
    char octet = 0;
    struct iovec here = {&octet, 1}, there = {&last, 1};
    return result(process_vm_writev((pid_t)number(arg[1]), &here, 1, &there, 1, 0));
}

static int send_signal(char **arg)
{
    return result(kill((pid_t)number(arg[1]), 0));
}

static int send_signal_to_thread(char **arg)
{
    return result(syscall(SYS_tgkill, number(arg[1]), number(arg[1]), 0));
}

static int queue_signal(char **arg)
{
    siginfo_t info = {.si_code = SI_QUEUE};
    return result(syscall(SYS_rt_sigqueueinfo, number(arg[1]), 0, &info));
}

static int open_pidfd(char **arg)
{
    return result(syscall(SYS_pidfd_open, number(arg[1]), 0));
}

/* No descriptor is needed for the filter to end the process. */
static int signal_by_pidfd(char **arg)
{
    return result(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0));
}

static int take_descriptor(char **arg)
{
    return result(syscall(SYS_pidfd_getfd, -1, 0, 0));
}

static int set_limit(char **arg)
{
    struct rlimit none = {0, 0};
    return result(prlimit((pid_t)number(arg[1]), RLIMIT_NOFILE, &none, NULL));
}

static int set_affinity(char **arg)
{
    unsigned long mask = 1;
    return result(syscall(SYS_sched_setaffinity, number(arg[1]), sizeof mask, &mask));
}

static int set_priority(char **arg)
{
    return result(setpriority(PRIO_PROCESS, (id_t)number(arg[1]), 19));
}

static int set_scheduling(char **arg)
{
    uint32_t idle[12] = {sizeof idle, SCHED_IDLE};
    return result(syscall(SYS_sched_setattr, number(arg[1]), idle, 0));
}

static int set_io_priority(char **arg)
{
    return result(syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, number(arg[1]), 3 << 13));
}

static int move_pages(char **arg)
{
    return result(syscall(SYS_migrate_pages, number(arg[1]), 0, NULL, NULL));
}

static int advise_process(char **arg)
{
    return result(syscall(SYS_process_madvise, -1, NULL, 0, 4 /* MADV_DONTNEED */, 0));
}

static int compare(char **arg)
{
    return result(syscall(SYS_kcmp, getpid(), number(arg[1]), 0, 0, 0));
}

static int become(char **arg)
{
    return result(syscall(SYS_setuid, number(arg[1])));
}

static int take_capabilities(char **arg)
{
    uint32_t head[2] = {0x20080522, 0}, sets[6] = {~0U, ~0U, ~0U, 0, 0, 0};
    return result(syscall(SYS_capset, head, sets));
}

/* Each socket for packets that it has: the channel to the master, and pairs with other processes. */
static int packet_sockets(int fd[DESCRIPTORS])
{
    int n = 0, type;

    for (int i = 3; i < DESCRIPTORS; i++) {
        socklen_t len = sizeof type;
        if (getsockopt(i, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET)
            fd[n++] = i;
    }
    return n;
}

static void log_number(const char *what, unsigned long n)
{
    log_info("door: %s: %lu", what, n);
}

/* Sends one packet with up to 32 descriptors, which are copies of its standard error. */
static void send_packet(int fd, const void *octets, size_t len, int fds)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(HANDOFF_BATCH * sizeof(int))];
    } rights = {0};
    struct iovec part = {(void *)octets, len};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (fds) {
        packet.msg_control = rights.octets;
        packet.msg_controllen = CMSG_SPACE((size_t)fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)fds * sizeof(int));
        for (int i = 0; i < fds; i++)
            memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &(int){2}, sizeof(int));
    }
    (void)sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* flood: packets of any kind and length, with descriptors and without, to all pairs, without end. Only
 * the web process may tell the master to stop or to upgrade, and does not in this one. */
static int flood(char **arg)
{
    static char octets[BIG];
    int fd[DESCRIPTORS], n = packet_sockets(fd);
    uint32_t turn = 0;

    log_number("floods pairs", (unsigned long)n);
    while (n) {
        for (int i = 0; i < n; i++) {
            uint32_t kind = turn % 48;
            if (kind == NOTE_SHUTDOWN || kind == NOTE_UPGRADE)
                kind = 0;
            memcpy(octets, &kind, sizeof kind);
            send_packet(fd[i], octets, turn % 97 == 0 ? BIG : turn * 7 % 4000,
                        turn % 5 == 0 ? 4 : 0);
        }
        if (++turn % 100000 == 0)
            log_number("packets to each pair", turn);
    }
    return -ENOTCONN;
}

/* notes KIND [TEXT]: such notes to all pairs without end. Spaces in the text are written "_". */
static int send_notes(char **arg)
{
    int fd[DESCRIPTORS], n = packet_sockets(fd);

    log_number("floods pairs", (unsigned long)n);
    for (char *at = arg[2]; at && *at; at++)
        *at = *at == '_' ? ' ' : *at;
    for (uint32_t turn = 1;; turn++) {
        if (n == 0)
            return -ENOTCONN;
        for (int i = 0; i < n; i++)
            (void)channel_tell(fd[i], (uint32_t)number(arg[1]), 0, turn, arg[2]);
        if (turn % 100000 == 0)
            log_number("notes to each pair", turn);
    }
}

/* note KIND [TEXT]: one. */
static int send_note(char **arg)
{
    int fd[DESCRIPTORS], n = packet_sockets(fd), error = 0;

    for (int i = 0; i < n; i++)
        error = channel_tell(fd[i], (uint32_t)number(arg[1]), 0, 1, arg[2]);
    return error;
}

static int close_all(char **arg)
{
    for (int i = 3; i < DESCRIPTORS; i++)
        close(i);
    return 0;
}

/* The pairs, and what listens. */
static int shut_all(char **arg)
{
    int fd[DESCRIPTORS], n = packet_sockets(fd), shut = 0;

    for (int i = 0; i < n; i++)
        shut += shutdown(fd[i], SHUT_RDWR) == 0;
    for (int i = 3; i < DESCRIPTORS; i++) {
        int listens = 0;
        socklen_t len = sizeof listens;
        if (getsockopt(i, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
            shut += shutdown(i, SHUT_RDWR) == 0;
    }
    log_number("shut", (unsigned long)shut);
    return 0;
}

/* scribble NAME: any octets into the whole of a mapped file. */
static int scribble(char **arg)
{
    for (size_t i = 0; i < mapped_count; i++) {
        if (strcmp(mapped[i].name, arg[1]) != 0)
            continue;
        if (mprotect(mapped[i].at, mapped[i].size, PROT_READ | PROT_WRITE) < 0)
            return -errno;
        uint64_t *word = mapped[i].at, x = 88172645463325252;
        for (size_t k = 0; k < mapped[i].size / sizeof *word; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            word[k] = x;
        }
        return 0;
    }
    return -ENOENT;
}

/* breach: a call that really ends the process. */
static int breach(char **arg)
{
    trying = false;
    return execute((char *[]){arg[0], (char *)"/bin/true", NULL});
}

/* ---- the freezer's lies ---- */

static int give(struct handoff *h)
{
    int error = -EBADF;

    for (uint32_t i = 0; freezer && i < freezer->slots; i++) {
        static struct handoff copy;
        copy = *h;
        for (uint32_t k = 0; k < copy.count; k++)
            copy.item[k].session.at = copy.octets + (h->item[k].session.at - h->octets);
        error = __real_handoff_send(freezer->slot[i], &copy);
    }
    return error;
}

/* invent pair|file COUNT: connections that nobody has frozen, and descriptors that are none, with a record
 * of nothing or of any octets. */
static int invent(char **arg)
{
    static struct handoff h;
    char record[64] = {4};
    int pair[2] = {-1, -1}, error = 0;

    for (long n = 0; n < number(arg[2]); n++) {
        h.count = h.used = 0;
        if (strcmp(arg[1], "pair") == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
            return -errno;
        struct handoff_item item = {.fd = strcmp(arg[1], "pair") == 0 ? pair[0] : 2,
                                    .session = {record, n % 2 ? sizeof record : 0}};
        (void)addr_parse(span_of("192.0.2.7"), &item.remote);
        for (int i = 0; i < HANDOFF_BATCH; i++)
            handoff_add(&h, &item);
        error = give(&h);
        close(pair[0]);
        close(pair[1]);
        pair[0] = pair[1] = -1;
        if (error == -EAGAIN)
            error = 0;
    }
    return error;
}

/* again: the last connections once more, to all workers. */
static int give_again(char **arg)
{
    return last.count ? give(&last) : -ENOENT;
}

/* as ADDRESS: the last connections once more, as those of this client. */
static int give_as_other(char **arg)
{
    for (uint32_t i = 0; i < last.count; i++)
        if (!addr_parse(span_of(arg[1]), &last.item[i].remote))
            return -EINVAL;
    return last.count ? give(&last) : -ENOENT;
}

static const struct {
    const char *name;
    int (*run)(char **arg);
} verbs[] = {{"open", open_path},
             {"remove", remove_path},
             {"move", move_path},
             {"tcp", connect_tcp},
             {"udp", send_udp},
             {"unix", connect_unix},
             {"command", give_command},
             {"exec", execute},
             {"fork", start_process},
             {"trace", trace},
             {"read-memory", read_memory},
             {"write-memory", write_memory},
             {"signal", send_signal},
             {"signal-thread", send_signal_to_thread},
             {"signal-queue", queue_signal},
             {"pidfd", open_pidfd},
             {"pidfd-signal", signal_by_pidfd},
             {"pidfd-take", take_descriptor},
             {"limit", set_limit},
             {"affinity", set_affinity},
             {"priority", set_priority},
             {"scheduling", set_scheduling},
             {"io-priority", set_io_priority},
             {"migrate", move_pages},
             {"advise", advise_process},
             {"compare", compare},
             {"become", become},
             {"capabilities", take_capabilities},
             {"flood", flood},
             {"notes", send_notes},
             {"note", send_note},
             {"close", close_all},
             {"shut", shut_all},
             {"scribble", scribble},
             {"breach", breach},
             {"invent", invent},
             {"again", give_again},
             {"as", give_as_other}};

/* ---- the script ---- */

static void run_line(char *line)
{
    static char *arg[WORDS + 2];
    static char *rest;
    static volatile size_t verb;
    size_t n = 0;

    memset(arg, 0, sizeof arg);
    for (char *word = strtok_r(line, " ", &rest); word && n <= WORDS;
         word = strtok_r(NULL, " ", &rest))
        arg[n++] = word;
    if (n < 2)
        return;
    for (verb = 0; verb < sizeof verbs / sizeof *verbs; verb++)
        if (strcmp(verbs[verb].name, arg[1]) == 0)
            break;
    if (verb == sizeof verbs / sizeof *verbs) {
        log_info("door: %s = unknown", arg[0]);
        return;
    }
    trying = true;
    if (sigsetjmp(back, 1) == 0) {
        int error = verbs[verb].run(arg + 1);
        trying = false;
        log_info("door: %s = %s", arg[0], error ? strerrorname_np(-error) : "0");
    } else {
        trying = false;
        log_info("door: %s = killed", arg[0]);
    }
}

static void run_script(int signal_number)
{
    static char text[SCRIPT_SIZE];
    char *rest, *line;

    memcpy(text, script, sizeof text - 1);
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        run_line(line);
    log_info("door: done");
}

void puppet_wait(void)
{
    if (script)
        sigaction(SIGRTMIN + 11,
                  &(struct sigaction){.sa_handler = run_script, .sa_flags = SA_RESTART}, NULL);
}
