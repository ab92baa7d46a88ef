/* kill-at PID N: traces all threads of a running process and kills it (SIGKILL) at its N-th stop at
 * a system call. Each call has two stops: before it is carried out, and after. N = 0 only counts.
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

enum { OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE };

static pid_t target;
static unsigned long wanted, stops;
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

/* Handles one stop of a thread and lets it go on. */
static void stopped(pid_t thread, int status)
{
    int number = WSTOPSIG(status), event = status >> 16;
    int pass = 0;
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
    if (argc != 3) {
        fprintf(stderr, "usage: kill-at PID N\n");
        return 2;
    }
    target = (pid_t)atoi(argv[1]);
    wanted = strtoul(argv[2], NULL, 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction on_term = {.sa_handler = end}; /* no SA_RESTART: it interrupts waitpid() */
    sigaction(SIGTERM, &on_term, NULL);
    sigaction(SIGALRM, &on_term, NULL);
    seize_all();
    printf("ready\n");
    while (!ending) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == ECHILD)
            break;
        if (thread > 0 && WIFSTOPPED(status))
            stopped(thread, status);
        else if (thread == target)
            break;
    }
    if (!wanted || stops < wanted)
        printf("alive %lu\n", stops);
    return 0;
}
