/* kill-at PID N: traces all threads of a running process and kills it (SIGKILL) at its N-th stop at
 * a system call. Each call has two stops: before it is carried out, and after. N = 0 only counts.
 *
 * kill-at PID N CHILD: the same with the CHILD-th process that PID forks from now on, from its first
 * call on. PID and its other children run untraced as soon as that is known.
 *
 * Prints "ready" when the stops are being counted, and at the end, which is the process's or a
 * SIGTERM, "killed N CALL before", "killed N CALL after" or "alive COUNT". A process that is alive
 * at the end goes on untraced. Linux. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

enum { OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE, EARLY_MOST = 16 };

static pid_t target; /* 0: it is not forked yet */
static pid_t parent; /* 0: the target's start is not waited for, or it has been forked */
static unsigned long wanted, stops, child;
static pid_t early[EARLY_MOST]; /* have stopped before the parent was seen to fork them */
static pid_t
    others[EARLY_MOST]; /* the parent was seen to fork them, and they have not stopped yet */
static volatile sig_atomic_t ending;

static void end(int number)
{
    (void)number;
    ending = 1;
    alarm(1); /* again, if this one came just before waitpid() began to wait */
}

static void seize(pid_t thread)
{
    if (ptrace(PTRACE_SEIZE, thread, NULL, (void *)(long)OPTIONS) < 0 && errno != ESRCH) {
        fprintf(stderr, "kill-at: cannot trace %d: %s\n", (int)thread, strerror(errno));
        exit(2);
    }
    ptrace(PTRACE_INTERRUPT, thread, NULL, NULL);
}

static void seize_all(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)target);
    DIR *threads = opendir(path);
    struct dirent *entry;
    while (threads && (entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            seize((pid_t)atoi(entry->d_name));
    if (threads)
        closedir(threads);
}

static void count(pid_t thread)
{
    static long call; /* the stop after a call does not say its number */
    struct ptrace_syscall_info info = {0};
    ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
    bool before = info.op == PTRACE_SYSCALL_INFO_ENTRY;
    if (before)
        call = (long)info.entry.nr;
    if (++stops == wanted) {
        printf("killed %lu %ld %s\n", stops, call, before ? "before" : "after");
        kill(target, SIGKILL);
    }
}

static bool is_of_target(pid_t thread)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/task/%d", (int)target, (int)thread);
    return target && access(path, F_OK) == 0;
}

/* Whether it is in the list; it is no longer then. */
static bool take_out(pid_t list[EARLY_MOST], pid_t process)
{
    for (int i = 0; i < EARLY_MOST; i++)
        if (list[i] == process) {
            list[i] = 0;
            return true;
        }
    return false;
}

static void put_in(pid_t list[EARLY_MOST], pid_t process)
{
    for (int i = 0; i < EARLY_MOST; i++)
        if (!list[i]) {
            list[i] = process;
            return;
        }
    exit(2);
}

static void let_go(pid_t process)
{
    ptrace(PTRACE_DETACH, process, NULL, NULL);
}

/* The parent has forked. The others' first stop may come before this one, or after. */
static void forked(void)
{
    unsigned long process = 0;

    ptrace(PTRACE_GETEVENTMSG, parent, NULL, &process);
    if (--child > 0) {
        if (take_out(early, (pid_t)process))
            let_go((pid_t)process);
        else
            put_in(others, (pid_t)process);
        return;
    }
    target = (pid_t)process;
    if (take_out(early, target))
        ptrace(PTRACE_SYSCALL, target, NULL, NULL);
}

/* A process of which nothing is known: one that the parent has forked or is about to be seen to fork. */
static void first_stop(pid_t process)
{
    if (take_out(others, process) || !parent)
        let_go(process);
    else
        put_in(early, process);
}

/* Handles a stop of the parent, which only forks interest. */
static void parent_stopped(int number, int event)
{
    bool fork = event == PTRACE_EVENT_FORK;

    if (fork)
        forked();
    if (target) {
        let_go(parent);
        parent = 0;
        return;
    }
    ptrace(PTRACE_CONT, parent, NULL, (void *)(long)(event ? 0 : number));
}

/* Handles one stop of a thread and lets it go on. */
static void stopped(pid_t thread, int status)
{
    int number = WSTOPSIG(status), event = status >> 16;
    int pass = 0;
    if (thread == parent) {
        parent_stopped(number, event);
        return;
    }
    if (thread != target && !is_of_target(thread)) {
        first_stop(thread);
        return;
    }
    if (number == (SIGTRAP | 0x80)) {
        count(thread);
    } else if (event == PTRACE_EVENT_STOP && number != SIGTRAP) {
        ptrace(PTRACE_LISTEN, thread, NULL, NULL); /* stopped by a signal, and stays so */
        return;
    } else if (!event) {
        pass = number;
    }
    ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(long)pass);
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: kill-at PID N [CHILD]\n");
        return 2;
    }
    child = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    *(child ? &parent : &target) = (pid_t)atoi(argv[1]);
    wanted = strtoul(argv[2], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction on_term = {.sa_handler = end}; /* no SA_RESTART: it interrupts waitpid() */
    sigaction(SIGTERM, &on_term, NULL);
    sigaction(SIGALRM, &on_term, NULL);
    if (!parent) {
        seize_all();
    } else if (ptrace(PTRACE_SEIZE, parent, NULL, (void *)(long)(OPTIONS | PTRACE_O_TRACEFORK)) <
               0) {
        fprintf(stderr, "kill-at: cannot trace %d: %s\n", (int)parent, strerror(errno));
        return 2;
    }
    printf("ready\n");
    while (!ending) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == ECHILD)
            break;
        if (thread > 0 && WIFSTOPPED(status))
            stopped(thread, status);
        else if (target && thread == target)
            break;
    }
    if (!wanted || stops < wanted)
        printf("alive %lu\n", stops);
    return 0;
}
