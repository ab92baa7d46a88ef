/* mirectl's side of the control socket. It blocks, but never longer than the caller allows: a mired
 * that hangs is reported, not waited for. */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/commands.h"

enum { SEND_MS = 5000, TRIES = 3, AGAIN_MS = 100 };

static int failed(struct link *l, int status, const char *code)
{
    snprintf(l->code, sizeof l->code, "%s", code);
    return status;
}

static int unreachable(struct link *l, int error)
{
    const char *hint = "";

    if (error == ENOENT || error == ECONNREFUSED)
        hint = "; is mired running, and is this the `run` folder of its configuration? (-s "
               "SOCKET names another)";
    else if (error == EACCES || error == EPERM)
        hint = "; be root, or a member of mired's group";
    else if (error == EAGAIN)
        hint = "; mired does not accept connections; it may hang";
    snprintf(l->error, sizeof l->error, "cannot reach mired at %s: %s%s", l->path,
             strerrordesc_np(error), hint);
    return failed(l, CTL_UNREACHABLE, CTL_CODE_UNREACHABLE);
}

int link_open(struct link *l, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    *l = (struct link){.fd = -1, .path = path};
    if (strlen(path) >= sizeof sa.sun_path)
        return unreachable(l, ENAMETOOLONG);
    memcpy(sa.sun_path, path, strlen(path));
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return unreachable(l, errno);
    return CTL_DONE;
}

void link_close(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    buf_free(&l->in);
    l->fd = -1;
}

/* Waits for `events`; false when the time is over. */
static bool wait_for(const struct link *l, short events, uint64_t until)
{
    struct pollfd p = {.fd = l->fd, .events = events};
    uint64_t now = clock_mono_ms();
    int n;

    do
        n = poll(&p, 1, now < until ? (int)(until - now) : 0);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int silent(struct link *l, int ms)
{
    snprintf(l->error, sizeof l->error,
             "mired at %s has not answered for %d s: it hangs or is very busy; `journalctl -u "
             "mired` may say why, and `systemctl restart mired` restarts it",
             l->path, ms / 1000);
    return failed(l, CTL_UNREACHABLE, CTL_CODE_UNREACHABLE);
}

int link_send(struct link *l, const char *command, json_t *args)
{
    json_t *request = json_pack("{s:i, s:s, s:o}", "v", CONTROL_VERSION, "command", command, "args",
                                args ? args : json_object());
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    uint64_t until = clock_mono_ms() + SEND_MS;
    struct buf out = {0};

    json_decref(request);
    if (!text || buf_addf(&out, "%s\n", text) < 0)
        return unreachable(l, ENOMEM);
    free(text);
    while (out.len) {
        ssize_t n = send(l->fd, out.at, out.len, MSG_NOSIGNAL);
        if (n > 0) {
            buf_drop(&out, (size_t)n);
        } else if (errno != EAGAIN && errno != EINTR) {
            buf_free(&out);
            /* It may have said why before it closed: link_read() reads that. */
            return errno == EPIPE || errno == ECONNRESET ? CTL_DONE : unreachable(l, errno);
        } else if (!wait_for(l, POLLOUT, until)) {
            buf_free(&out);
            return silent(l, SEND_MS);
        }
    }
    return CTL_DONE;
}

static int of_another_version(struct link *l, const char *speaks)
{
    snprintf(l->error, sizeof l->error,
             "the program at %s %s, but this mirectl (%s) speaks version %d of the control "
             "protocol; use the mirectl that was installed with it, or restart mired",
             l->path, speaks, MIRED_VERSION, CONTROL_VERSION);
    return failed(l, CTL_UNREACHABLE, CONTROL_OTHER);
}

static int judge(struct link *l, json_t *line, bool *last)
{
    const char *error = "no reason given", *code = CONTROL_REFUSED;
    const json_t *ok = json_object_get(line, "ok"), *version = json_object_get(line, "v");
    char speaks[64];

    *last = ok != NULL;
    if (ok && !json_is_true(ok))
        json_unpack(line, "{s?:s, s?:s}", "error", &error, "code", &code);
    if (strcmp(code, CONTROL_OTHER) != 0 && json_integer_value(version) != CONTROL_VERSION) {
        snprintf(speaks, sizeof speaks, "speaks version %lld", json_integer_value(version));
        return of_another_version(l, json_is_integer(version) ? speaks : "is not mired");
    }
    if (!ok || json_is_true(ok))
        return CTL_DONE;
    snprintf(l->error, sizeof l->error, "%s", error);
    return failed(l,
                  strcmp(code, CONTROL_USAGE) == 0   ? CTL_USAGE
                  : strcmp(code, CONTROL_OTHER) == 0 ? CTL_UNREACHABLE
                                                     : CTL_REFUSED,
                  code);
}

/* Whether a control character begins here, and how many octets it has (UTF-8: U+0080 to U+009F have
 * two). The end of a line and a tab are none, because texts have them. */
static size_t control_at(const char *at)
{
    unsigned char c = (unsigned char)at[0], next = (unsigned char)at[c != 0];

    if (c == 0xc2 && next >= 0x80 && next < 0xa0)
        return 2;
    return (c < ' ' && c != '\n' && c != '\t' && c != '\0') || c == 0x7f;
}

static bool is_printable(const char *text)
{
    while (*text && !control_at(text))
        text++;
    return !*text;
}

/* Replaces control characters by question marks. */
static void print_safely(char *text)
{
    char *to = text;

    while (*text) {
        size_t control = control_at(text);
        *to++ = control ? '?' : *text;
        text += control ? control : 1;
    }
    *to = '\0';
}

/* Makes all texts of a result safe to print: a process that was taken over must not write escape
 * sequences to the administrator's terminal. False without memory. */
static bool make_printable(json_t *value)
{
    const char *key;
    json_t *item;
    void *next;
    size_t i;

    if (json_is_string(value) && !is_printable(json_string_value(value))) {
        char *text = strdup(json_string_value(value));
        if (!text)
            return false;
        print_safely(text);
        int error = json_string_set(value, text);
        free(text);
        return error == 0;
    }
    json_array_foreach(value, i, item) if (!make_printable(item)) return false;
    json_object_foreach_safe(value, next, key, item)
    {
        if (!is_printable(key))
            json_object_del(value, key);
        else if (!make_printable(item))
            return false;
    }
    return true;
}

/* The first line of l->in, when there is a whole one. */
static bool take_line(struct link *l, json_t **line)
{
    struct span in = buf_span(&l->in);
    size_t len = span_find(in, '\n');

    if (len == in.len)
        return false;
    *line = json_loadb(in.at, len, 0, NULL);
    buf_drop(&l->in, len + 1);
    if (!make_printable(*line)) {
        json_decref(*line);
        *line = NULL;
    }
    return true;
}

int link_read(struct link *l, int wait_ms, json_t **line, bool *last)
{
    uint64_t until = clock_mono_ms() + (uint64_t)wait_ms;

    while (!take_line(l, line)) {
        char *room = buf_room(&l->in, 65536);
        if (!room)
            return unreachable(l, ENOMEM);
        if (!wait_for(l, POLLIN, until))
            return silent(l, wait_ms);
        ssize_t n = recv(l->fd, room, 65536, 0);
        if (n > 0) {
            l->in.len += (uint32_t)n;
            l->heard = true;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            l->unanswered = !l->heard;
            snprintf(l->error, sizeof l->error,
                     "mired at %s stopped before it answered; `mirectl status` shows whether a new "
                     "one has replaced it",
                     l->path);
            return failed(l, CTL_UNREACHABLE, CTL_CODE_UNREACHABLE);
        }
    }
    if (!json_is_object(*line))
        return of_another_version(l, "is not mired");
    return judge(l, *line, last);
}

static int ask_once(struct link *l, const char *path, const char *command, json_t *args,
                    int wait_ms, void (*take)(json_t *line, void *arg), void *arg)
{
    int status = link_open(l, path);
    bool last = false;

    if (status == CTL_DONE)
        status = link_send(l, command, json_incref(args));
    while (status == CTL_DONE && !last) {
        json_t *line = NULL;
        status = link_read(l, wait_ms, &line, &last);
        if (status == CTL_DONE)
            take(line, arg);
        json_decref(line);
    }
    return status;
}

int link_ask(struct link *l, const char *path, const char *command, json_t *args, int wait_ms,
             void (*take)(json_t *line, void *arg), void *arg)
{
    for (int try = 1;; try++) {
        int status = ask_once(l, path, command, args, wait_ms, take, arg);
        link_close(l);
        if (status != CTL_UNREACHABLE || !l->unanswered || try == TRIES)
            return status;
        poll(NULL, 0, AGAIN_MS);
    }
}
