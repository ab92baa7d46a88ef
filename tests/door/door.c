/* Hostile code in a running mired: linked into a program of the tests only (mired-door). A process
 * whose name begins with $MIRED_DOOR tries, when its sandbox is closed, to give a command over the
 * control socket $MIRED_DOOR_CONTROL, and logs what came of it. What the sandbox itself forbids is
 * in tests/unit/master/test_sandbox.c. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"

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

void sandbox_door(void)
{
    const char *who = getenv("MIRED_DOOR"), *control = getenv("MIRED_DOOR_CONTROL");
    char name[16] = "";

    prctl(PR_GET_NAME, name, 0, 0, 0);
    if (who && control && strncmp(name, who, strlen(who)) == 0)
        give_command(control);
}
