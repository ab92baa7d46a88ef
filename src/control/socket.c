/* The control socket: one connection for each mirectl, a request a line, a result of one or more
 * lines. In the web process.
 *
 * Only root, the user that mired runs as, and members of the socket's group get an answer
 * (SO_PEERCRED and SO_PEERGROUPS; the file's mode says the same, but a folder's mode is easily
 * changed). A connection has one request at a time; the next line is read when the result has been
 * written, so nothing grows without limit. */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control_part.h"

#ifndef SO_PEERPIDFD /* newer than Debian 12's headers */
#define SO_PEERPIDFD 77
#endif

enum {
    CONTROLS_MAX = 64,
    OUT_ENOUGH = 64 * 1024, /* octets of a long result in memory */
};

/* ---- users ---- */

static bool is_in_group(int fd, gid_t group)
{
    gid_t groups[1024];
    socklen_t len = sizeof groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
        return false;
    for (size_t i = 0; i < len / sizeof groups[0]; i++)
        if (groups[i] == group)
            return true;
    return false;
}

/* Whether the process that connected still runs: then its id is not another's by now. An older
 * kernel (before Linux 6.5) does not tell, and yes is assumed. */
static bool runs(int fd)
{
    int process;
    socklen_t len = sizeof process;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &process, &len) < 0)
        return errno == ENOPROTOOPT;
    struct pollfd ended = {.fd = process, .events = POLLIN};
    bool is_running = poll(&ended, 1, 0) == 0;
    close(process);
    return is_running;
}

/* Whether it is not one of mired's own processes: none of them gives commands, unless it was taken
 * over. They are this process's group (master/child.c). A process that has ended is in no group, so
 * one that was taken over could write a command and end at once; what nobody waits for is not
 * done. A client that this process's namespace of ids does not show has the id 0. */
static bool is_outsider(int fd, pid_t pid)
{
    if (pid == 0)
        return true;
    pid_t group = getpgid(pid);
    if (group == getpgrp()) {
        log_error("process %ld of mired itself tried to give a command; it is refused", (long)pid);
        return false;
    }
    if (group < 0 || !runs(fd)) {
        log_warn("process %ld ended before its command was read; it is refused", (long)pid);
        return false;
    }
    return true;
}

static bool may_ask(int fd, struct ucred *who)
{
    socklen_t len = sizeof *who;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &len) < 0 || !is_outsider(fd, who->pid))
        return false;
    return who->uid == 0 || who->uid == geteuid() || who->gid == getegid() ||
           is_in_group(fd, getegid());
}

void control_log(const struct control *c, const char *command, const char *about)
{
    control_log_with(c, command, about, NULL, NULL);
}

void control_log_with(const struct control *c, const char *command, const char *about,
                      const char *key, const char *value)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, "control");
    log_text(&l, "command", command);
    if (about)
        log_text(&l, "about", about);
    if (key && value)
        log_text(&l, key, value);
    log_int(&l, "by_uid", c->uid);
    log_int(&l, "by_pid", c->pid);
    log_end(&l);
}

/* ---- one connection ---- */

static void end(struct control *c)
{
    struct steering *s = c->steering;
    struct control **p = &s->controls;

    while (*p != c)
        p = &(*p)->next;
    *p = c->next;
    s->count--;
    if (c->drop)
        c->drop(c->state);
    loop_forget(&s->loop, &c->watch);
    close(c->watch.fd);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
    s->ended(&s->loop);
}

static bool is_busy(const struct control *c)
{
    return c->tag || c->more || c->waits;
}

/* Writes as much as possible; false if the connection is broken. */
static bool flush(struct control *c)
{
    for (;;) {
        while (c->more && c->out.len < OUT_ENOUGH)
            if (!c->more(c)) {
                c->more = NULL;
                if (c->drop)
                    c->drop(c->state);
                c->drop = NULL;
            }
        if (!c->out.len)
            return true;
        ssize_t n = send(c->watch.fd, c->out.at, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_drop(&c->out, (size_t)n);
    }
}

/* Carries out the first request in c->in; false if there is no complete line. */
static bool take_line(struct control *c)
{
    struct span in = buf_span(&c->in);
    size_t len = span_find(in, '\n');
    struct request r;

    if (len == in.len) {
        if (in.len >= CONTROL_LINE_MAX) {
            control_fail(c, CONTROL_USAGE, "the request is longer than %d octets",
                         CONTROL_LINE_MAX);
            c->over = true;
            buf_free(&c->in);
        }
        return false;
    }
    const char *wrong = request_parse(span_first(in, len), &r);
    c->asked = true;
    c->used_ms = c->steering->loop.now;
    c->over = c->over || c->steering->finishing;
    if (wrong)
        control_fail(c, r.code, "%s", wrong);
    else
        control_run(c, &r);
    json_decref(r.args);
    buf_drop(&c->in, len + 1);
    return true;
}

/* Continues a connection after any change; it may be freed. */
static void go_on(struct control *c)
{
    bool open = true;

    do
        open = flush(c);
    while (open && !is_busy(c) && c->out.len == 0 && take_line(c));
    open = open && flush(c);
    if (!open || (c->over && !is_busy(c) && c->out.len == 0)) {
        end(c);
        return;
    }
    uint32_t want = c->out.len ? EPOLLOUT : 0;
    if (!c->over) /* its end would be reported again and again */
        want |= is_busy(c) ? EPOLLRDHUP : c->in.len < CONTROL_LINE_MAX ? EPOLLIN : 0;
    loop_want(&c->steering->loop, &c->watch, want);
}

static void control_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct control *c = (struct control *)watch;

    if (events & (EPOLLERR | EPOLLHUP)) {
        end(c);
        return;
    }
    if (events & EPOLLIN && c->in.len < CONTROL_LINE_MAX) {
        char *room = buf_room(&c->in, 16384);
        ssize_t n = room ? recv(c->watch.fd, room, 16384, MSG_DONTWAIT) : 0;
        if (n > 0)
            c->in.len += (uint32_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            c->over = true;
    }
    if (events & EPOLLRDHUP && !(events & EPOLLIN)) {
        c->over = true;
        c->waits = false;
        if (c->given_up)
            c->given_up(c);
    }
    go_on(c);
}

/* ---- results ---- */

/* What was asked for may be done, and mirectl would ask once more if the connection just ended. Behind
 * what is still to be written there is no room for a line. */
static void say_no_memory(struct control *c, uint32_t before)
{
    char line[160];

    if (before == 0) {
        int len = snprintf(
            line, sizeof line,
            "{\"v\":%d,\"ok\":false,\"code\":\"%s\",\"error\":\"mired has no memory for the "
            "answer; look whether it has done this\"}\n",
            CONTROL_VERSION, CONTROL_REFUSED);
        buf_drop(&c->out, c->out.len);
        (void)send(c->watch.fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    c->over = true;
}

static void write_line(struct control *c, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

    json_decref(line);
    uint32_t before = c->out.len;
    if (!text || buf_add(&c->out, text, strlen(text)) < 0 || buf_add(&c->out, "\n", 1) < 0)
        say_no_memory(c, before);
    free(text);
}

void control_part(struct control *c, json_t *body)
{
    if (body)
        json_object_set_new(body, "v", json_integer(CONTROL_VERSION));
    write_line(c, body);
}

void control_done(struct control *c, json_t *body)
{
    if (body)
        json_object_set_new(body, "ok", json_true());
    control_part(c, body);
}

void control_fail(struct control *c, const char *code, const char *format, ...)
{
    char text[4096 + 256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_line(c, json_pack("{s:i, s:b, s:s, s:s}", "v", CONTROL_VERSION, "ok", 0, "code", code,
                            "error", text));
}

void control_wait(struct control *c, void *state, void (*drop)(void *state))
{
    c->state = state;
    c->drop = drop;
    c->waits = true;
}

void control_waited(struct control *c)
{
    c->state = NULL;
    c->drop = NULL;
    c->waits = false;
    go_on(c);
}

void control_resume(struct control *c)
{
    go_on(c);
}

/* ---- connections ---- */

/* Ends the connection that was idle for the longest time: programs that keep connections open must
 * not keep an administrator out. */
static void make_room(struct steering *s)
{
    struct control *idle = NULL;

    for (struct control *c = s->controls; c; c = c->next)
        if (!is_busy(c) && (!idle || c->used_ms <= idle->used_ms))
            idle = c;
    if (idle)
        end(idle);
}

static void accept_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct steering *s = steering_of(loop);
    struct ucred who = {0};

    int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (s->count >= CONTROLS_MAX)
        make_room(s);
    struct control *c = s->count < CONTROLS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    bool allowed = may_ask(fd, &who);
    *c = (struct control){.watch = {.fd = fd, .events = EPOLLIN, .ready = control_ready},
                          .steering = s,
                          .next = s->controls,
                          .used_ms = loop->now,
                          .uid = who.uid,
                          .pid = who.pid};
    if (loop_watch(loop, &c->watch) < 0) {
        close(fd);
        free(c);
        return;
    }
    s->controls = c;
    s->count++;
    if (allowed)
        return;
    control_log(c, "refused", NULL);
    control_fail(c, CONTROL_REFUSED,
                 "only root, the user that mired runs as and members of its group may control it");
    c->over = true;
    go_on(c);
}

int control_open(struct steering *s, int listen_fd)
{
    s->listen = (struct watch){.fd = listen_fd, .events = EPOLLIN, .ready = accept_ready};
    return loop_watch(&s->loop, &s->listen);
}

void control_finish(struct steering *s)
{
    loop_forget(&s->loop, &s->listen);
    for (struct control *c = s->controls, *next; c; c = next) {
        next = c->next;
        c->over = c->asked; /* a client that has just connected still gets an answer */
        go_on(c);
    }
}

void control_close(struct steering *s)
{
    while (s->controls)
        end(s->controls);
}
