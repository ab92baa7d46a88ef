/* The sandbox's files, TCP ports and signals, by Landlock; see sandbox.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "base/sandbox_part.h"

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

static bool forbidden; /* sandbox_probe() found that Landlock's calls end the process */

/* Version 1 forbids every link from one folder to another. Mailboxes get messages that way, so
 * version 1 counts as none. */
static int landlock_version(void)
{
    long version = SANITIZED || forbidden ? 0 : syscall(SYS_CREATE_RULES, NULL, 0, CREATE_VERSION);

    return version < VERSION_REFER ? 0 : (int)version;
}

bool sandbox_probe(void)
{
    int status = 0;

    if (SANITIZED || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) <= 0)
        return true;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        landlock_version();
        _exit(0);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    forbidden = child > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    return !forbidden;
}

bool sandbox_landlock_forbidden(void)
{
    return forbidden;
}

void sandbox_begin(struct sandbox *s, unsigned calls, bool any_port)
{
    struct rules rules = {0};

    *s = (struct sandbox){.calls = calls, .rules = -1, .root = -1, .any_port = any_port};
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

unsigned sandbox_enter_landlock(struct sandbox *s, int *error)
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

unsigned sandbox_landlock_available(void)
{
    int version = landlock_version();

    return (version ? SANDBOX_LANDLOCK_FILES : 0) |
           (version >= VERSION_TCP ? SANDBOX_LANDLOCK_TCP : 0) |
           (version >= VERSION_SCOPE ? SANDBOX_LANDLOCK_SIGNALS : 0);
}
