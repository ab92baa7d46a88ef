/* Hostile code in a running mired: linked into a program of the tests only (mired-door). When its
 * sandbox is closed, a process whose name begins with $MIRED_DOOR
 *   - tries to give a command over the control socket $MIRED_DOOR_CONTROL, if that is set
 *   - tries to change the ledger and the memory of mixed answers, and to get the connections of all
 *     workers, if it is a worker
 * and logs what came of it. What the sandbox itself forbids is in
 * tests/unit/master/test_sandbox.c. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger_proposals.h"
#include "tarpit/ledger_table.h"

enum { ANSWER_MS = 5000 };

static void give_command(const char *path)
{
    static const char command[] = "{\"command\":\"stop\"}\n";
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char answer[512] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        log_info("door: cannot connect: %s", strerrordesc_np(errno));
        return;
    }
    ssize_t n = write(fd, command, sizeof command - 1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (n > 0 && poll(&p, 1, ANSWER_MS) == 1)
        n = read(fd, answer, sizeof answer - 1);
    log_info("door: answer %zd: %s", n, answer);
    close(fd);
}

/* ---- what a worker has ---- */

static struct ledger *ledger;
static struct proposals *proposals;
static struct turns *turns;
static const struct mapfile *mixed; /* the first member of struct partial_delivery */

int __real_ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *t);
int __wrap_ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *t);
int __real_partial_propose_to(struct partial_delivery *s,
                              void (*change)(void *arg, const struct partial_change *what),
                              void (*settle)(void *arg), void *arg);
int __wrap_partial_propose_to(struct partial_delivery *s,
                              void (*change)(void *arg, const struct partial_change *what),
                              void (*settle)(void *arg), void *arg);

/* The linker puts these in front of the true ones, so that the door knows where things are. */
int __wrap_ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *t)
{
    ledger = l;
    proposals = p;
    turns = t;
    return __real_ledger_propose_to(l, p, t);
}

int __wrap_partial_propose_to(struct partial_delivery *s,
                              void (*change)(void *arg, const struct partial_change *what),
                              void (*settle)(void *arg), void *arg)
{
    mixed = (const struct mapfile *)s;
    return __real_partial_propose_to(s, change, settle, arg);
}

/* Tries to make the mapping writable, and to write the file through any open descriptor. */
static void write_file(const char *name, const struct mapfile *file)
{
    int fits = 0;

    for (int fd = 0; fd < 4096; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
            (size_t)st.st_size != file->body_size + (size_t)sysconf(_SC_PAGESIZE))
            continue;
        bool can = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
        can = can || mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
        fits += can;
    }
    int error = mprotect(file->body, 4096, PROT_READ | PROT_WRITE) < 0 ? errno : 0;
    log_info("door: %s: to write: %s, %d descriptors", name, strerrorname_np(error), fits);
}

static void say(const struct ledger_key *k, struct proposal p)
{
    p.hash = k->hash;
    p.label = k->label;
    p.kind = k->kind;
    proposals_write(proposals, &p);
}

static struct ledger_key client(const char *text)
{
    struct addr a;
    addr_parse(span_of(text), &a);
    return ledger_key_client(ledger, &a);
}

/* All of it fits into the ring. Exempts a client, takes its offences and its network's away, and puts six thousand innocents in
 * debt; as proposals, which is all that is left. */
static void propose(void)
{
    struct ledger_key self = client("192.0.2.7");

    say(&self, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_EXEMPT});
    say(&self, (struct proposal){.op = PROPOSE_MARK, .a = LEDGER_EXEMPT});
    say(&self, (struct proposal){.op = PROPOSE_OFFENCES, .x = -100, .y = 1000});
    say(&self, (struct proposal){.op = PROPOSE_GOOD, .x = 1000});
    for (int i = 0; i < 6000; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250 + 1);
        struct ledger_key k = client(text);
        say(&k, (struct proposal){.op = PROPOSE_OFFENCES, .x = 8, .y = 1e9});
        say(&k, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_TRAPPED});
    }
    for (uint64_t i = 1; i <= 4000; i++)
        say(&(struct ledger_key){.hash = i << 20},
            (struct proposal){.op = PROPOSE_ELSE, .b = UINT64_MAX});
}

/* Tries to get the connections of all workers. */
static void take_connections(void)
{
    struct sock_filter first[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog program = {1, first};
    int names[] = {SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_FILTER};

    for (int fd = 0; fd < 4096; fd++) {
        int listens = 0;
        socklen_t len = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
            continue;
        for (int i = 0; i < 2; i++)
            log_info("door: listener: filter %d: %s", i,
                     strerrorname_np(
                         setsockopt(fd, SOL_SOCKET, names[i], &program, sizeof program) < 0 ? errno
                                                                                            : 0));
    }
}

static void attack(void)
{
    take_connections();
    write_file("ledger", &ledger->file);
    write_file("mixed answers", mixed);
    propose();
    log_info("door: proposed");
}

void sandbox_door(void)
{
    const char *who = getenv("MIRED_DOOR"), *control = getenv("MIRED_DOOR_CONTROL");
    char name[16] = "";

    prctl(PR_GET_NAME, name, 0, 0, 0);
    if (!who || strncmp(name, who, strlen(who)) != 0)
        return;
    if (control)
        give_command(control);
    else if (ledger && mixed)
        attack();
}
