/* Confines the calling process for the rest of its life: which system calls it may make (seccomp,
 * by libseccomp), which files it may open, which TCP ports it may connect to, that it may signal no
 * other process (Landlock), and which folder is its root directory (chroot). SECURITY.md says what
 * each role may do.
 *
 * A process calls sandbox_begin() while it starts, names what it needs, and calls sandbox_enter()
 * before it reads the first byte from outside. Descriptors that are open by then keep working. A
 * call that is not allowed is logged by name and ends the process. Parts that the kernel lacks are
 * left out; sandbox_enter() says what is in force.
 *
 * Not thread-safe: call these functions before any other thread starts. Sanitizers need calls that
 * no role needs, so a build with a sanitizer has no sandbox. */
#ifndef MIRED_BASE_SANDBOX_H
#define MIRED_BASE_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* Calls beyond those that every role needs: memory, time, sockets that are open, waiting. */
enum sandbox_calls {
    SANDBOX_TCP = 1,      /* new sockets of TCP, and connect() */
    SANDBOX_FILES = 2,    /* open, read and write files */
    SANDBOX_FOLDERS = 4,  /* make, link, rename and remove files and folders */
    SANDBOX_THREADS = 8,  /* start threads; never processes */
    SANDBOX_NETLINK = 16, /* what getaddrinfo() and nftables ask the kernel about addresses */
    SANDBOX_BIND = 32,    /* bind and listen */
    SANDBOX_URING = 64,   /* io_uring, with a ring that is open; what it does no filter sees */
    /* what libraries do that look for modules (getaddrinfo()): they may lock files, and the modules
     * that sandbox_load_modules() has not loaded are refused, without an end of the process */
    SANDBOX_MODULES = 128,
    SANDBOX_UNIX = 256, /* new unix sockets, and connect() */
    /* set most options of a socket (with SANDBOX_NETFILTER all), end both its directions, and (not with
     * SANDBOX_NETFILTER) make a descriptor blocking. Sockets that processes share have these in
     * common, so a role that can do without does. */
    SANDBOX_OPTIONS = 512,
    SANDBOX_UDP = 1024,      /* new sockets of UDP, and connect(): to any host and port */
    SANDBOX_NETFILTER = 2048 /* the firewall's rules; also SANDBOX_NETLINK */
};

/* What is in force; also the bits of `mirectl status`. */
enum sandbox_force {
    SANDBOX_SECCOMP = 1,
    SANDBOX_LANDLOCK_FILES = 2,
    SANDBOX_LANDLOCK_TCP = 4,
    SANDBOX_LANDLOCK_SIGNALS = 8,
    SANDBOX_ROOT = 16 /* a root directory of its own */
};

enum sandbox_rights {
    SANDBOX_READ = 1, /* read files and folders below the path */
    SANDBOX_WRITE = 2 /* the same, and make, change and remove them */
};

struct sandbox {
    unsigned calls; /* of enum sandbox_calls */
    int rules;      /* Landlock's rules; -1: none */
    int version;    /* of Landlock; 0: the kernel has none */
    int root;       /* a folder; -1: the machine's root directory stays */
    bool any_port;
};

/* Begins the rules of a process that makes `calls`. any_port: it may connect to every TCP port;
 * otherwise only to those that sandbox_port() names. */
void sandbox_begin(struct sandbox *s, unsigned calls, bool any_port);

/* Allows `rights` at and below `path`. A path that does not exist is not an error: nothing is
 * allowed there. NULL is ignored. */
void sandbox_path(struct sandbox *s, const char *path, enum sandbox_rights rights);

/* Allows the process to read the folder of a file, and the folder to which a symbolic link leads.
 * (The folder and not the file, because rename() may replace the file by another one.) NULL is
 * ignored. */
void sandbox_folder_of(struct sandbox *s, const char *file);

/* Allows the process to read what the C library needs to look up hosts: the machine's settings. */
void sandbox_settings(struct sandbox *s);

/* Loads the C library's modules that look up hosts, as /etc/nsswitch.conf names them, because no
 * process can map code from a file once it is confined. Modules that the file names later take part
 * in the next process that is started. They stay loaded. */
void sandbox_load_modules(void);

/* Allows the process to connect to a TCP port. */
void sandbox_port(struct sandbox *s, uint16_t port);

/* Makes the folder, of which `folder` is a descriptor, the process's root directory when it enters
 * the sandbox. Paths in sandbox_path() still begin at the machine's. It needs CAP_SYS_CHROOT, and
 * without it the root directory stays. The process must have no other folder open by then, because
 * a path that begins there could lead out. The caller closes the descriptor. -1 is ignored. */
void sandbox_root(struct sandbox *s, int folder);

/* Enters the sandbox, gives up CAP_SYS_CHROOT, and counts this process in the metrics. Returns what
 * is in force (enum sandbox_force); 0 if the kernel has neither part. If the kernel has a part but
 * it fails, mired logs a warning and runs without it. */
unsigned sandbox_enter(struct sandbox *s);

/* For the master: which filter this process had to compile for itself, or 0. A process tells it to
 * the master, and sandbox_keep() compiles the filter there and keeps it (up to 16): children that
 * are forked from then on load it. Any value may be given to sandbox_keep(), because a child is not
 * trusted: it names calls and not a filter, and each process gets the filter for its own calls. */
unsigned sandbox_compiled(void);
void sandbox_keep(unsigned compiled);

/* For the master, before it forks, and for `mired -t`: whether processes can use Landlock's calls. A
 * filter of system calls that is in force already (systemd's SystemCallFilter=) may end a process
 * that does; from then on sandbox_begin() does without Landlock, and the result is false. If the
 * kernel has no Landlock, the result is true. Forks a process and waits for it; one thread only. */
bool sandbox_probe(void);

/* Whether this build can confine processes at all: not with a sanitizer. */
bool sandbox_is_built(void);

/* What a process of this machine could have in force. */
unsigned sandbox_available(void);

/* Names what is in force, for people: "seccomp, Landlock (files, TCP ports, signals)" or "nothing",
 * but not the root directory. Returns a static string. */
const char *sandbox_name(unsigned in_force);

/* What a machine with these parts (sandbox_available()) lacks, one sentence for people for each part
 * that is missing. After sandbox_probe() has found a filter that forbids Landlock, it says so and not
 * that the kernel has none. Call it with *at = 0 and until it returns NULL. *grave: a process that was taken
 * over can do more than its role needs; otherwise another part covers most of it. Returns static
 * strings. */
const char *sandbox_lack(unsigned available, unsigned *at, bool *grave);

/* Called in the confined process, once, if a test program defines it; never in mired itself. */
void sandbox_door(void) __attribute__((weak));

#endif
