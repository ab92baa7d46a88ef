/* Compiled filters of the sandbox (seccomp(2)); see sandbox.h. The master keeps those that its
 * children need, so that a child of a reload loads its filter and does not compile it again, which
 * takes longer than all the rest of the sandbox.
 *
 * A filter allows a process to signal itself, so it has the process's id. A kept program has a mark
 * in place of the id, and each process fills in its own. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/sandbox.h"
#include "base/sandbox_part.h"

enum {
    PROGRAMS = 16,
    CALLS_ALL = 2 * SANDBOX_NETFILTER - 1, /* of enum sandbox_calls; the last one is the highest */
    INSTRUCTIONS_MAX = 4096,               /* the kernel's own limit */
};

struct program {
    unsigned calls;
    size_t len;
    struct sock_filter *code;
};

static struct {
    struct program at[PROGRAMS];
    size_t count;
} kept;

static unsigned compiled_here; /* the calls of this process's filter, + 1; 0: it was kept */

static const struct program *find(unsigned calls)
{
    for (size_t i = 0; i < kept.count; i++)
        if (kept.at[i].calls == calls)
            return &kept.at[i];
    return NULL;
}

/* Reads a program from a file; 0 or -errno. */
static int read_program(int fd, struct program *p)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    p->len = (size_t)st.st_size / sizeof *p->code;
    if (p->len == 0 || p->len > INSTRUCTIONS_MAX)
        return -EINVAL;
    p->code = malloc(p->len * sizeof *p->code);
    if (!p->code)
        return -ENOMEM;
    ssize_t octets = (ssize_t)(p->len * sizeof *p->code);
    if (pread(fd, p->code, (size_t)octets, 0) == octets)
        return 0;
    free(p->code);
    return -EIO;
}

static int compile(unsigned calls, struct program *p)
{
    scmp_filter_ctx filter = NULL;
    int fd = memfd_create("mired filter", MFD_CLOEXEC);
    int error = fd < 0 ? -errno : sandbox_make_filter(calls, &filter);

    p->calls = calls;
    if (!error) {
        error = seccomp_export_bpf(filter, fd);
        seccomp_release(filter);
    }
    if (!error)
        error = read_program(fd, p);
    if (fd >= 0)
        close(fd);
    return error;
}

/* Replaces the mark, which is there once, by this process's id. */
static int fill_in(struct sock_filter *code, size_t len)
{
    size_t found = 0;

    for (size_t i = 0; i < len; i++)
        if (BPF_CLASS(code[i].code) == BPF_JMP && code[i].k == SANDBOX_OWN_ID) {
            code[i].k = (uint32_t)getpid();
            found++;
        }
    return found == 1 ? 0 : -EINVAL;
}

static int load(const struct program *p)
{
    struct sock_filter *own = p->len ? malloc(p->len * sizeof *own) : NULL;

    if (!own)
        return -ENOMEM;
    memcpy(own, p->code, p->len * sizeof *own);
    struct sock_fprog program = {(unsigned short)p->len, own};
    int error = fill_in(own, p->len);
    /* seccomp(2) does the same, but systemd 252 leaves it out of @system-service. */
    if (!error && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        error = -errno;
    free(own);
    return error;
}

int sandbox_load_filter(unsigned calls)
{
    const struct program *there = find(calls);
    struct program own = {0};

    compiled_here = there ? 0 : calls + 1;
    if (there)
        return load(there);
    int error = compile(calls, &own);
    if (error)
        return error;
    error = load(&own);
    free(own.code);
    return error;
}

unsigned sandbox_compiled(void)
{
    return compiled_here;
}

void sandbox_keep(unsigned compiled)
{
    struct program p = {0};

    if (compiled == 0 || compiled - 1 > CALLS_ALL || kept.count == PROGRAMS || find(compiled - 1) ||
        !sandbox_has_seccomp() || compile(compiled - 1, &p) < 0)
        return;
    kept.at[kept.count++] = p;
}
