/* One LMTP connection of the store: the sans-I/O session of src/smtp on one side, a Maildir message
 * on the other.
 *
 * The worker that connects has checked recipients already; here only the domain is checked, because
 * the store cannot relay. Octets come from the session dot-stuffed and with CRLF, and go into the
 * Maildir unstuffed and with LF. There is one reply after the data for all recipients (the session
 * repeats it for each), and a positive one means that every copy is on the disk.
 *
 * Runs in the store, one thread for each connection. It may block on anything except an idle
 * client: see wait_input(). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "smtp/session.h"
#include "store/lmtp.h"
#include "store/maildir.h"

enum {
    INPUT_ROOM = 64 * 1024,
    /* a worker that does not read our replies, or stalls within a message, is broken */
    STALL_MS = 60000,
};

struct lmtp {
    const struct lmtp_context *context;
    struct smtp_service service;
    struct smtp_session session;
    struct smtp_step step;
    struct maildir_message message;
    bool in_message; /* `message` is begun */
    int failure;     /* -errno of the message being read; its octets are dropped from then on */
    bool line_start; /* of data_unstuff() */
    bool closing;    /* the session was told to send a 421 */
    int fd;
    struct buf out;
    size_t len; /* octets in `input` */
    uint64_t began_ms;
    char input[INPUT_ROOM], plain[INPUT_ROOM];
};

static int send_all(int fd, struct buf *out)
{
    size_t sent = 0;
    while (sent < out->len) {
        ssize_t n = send(fd, out->at + sent, out->len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        sent += (size_t)n;
    }
    buf_drop(out, out->len);
    return 0;
}

enum input { INPUT_COME, INPUT_STOP, INPUT_GONE };

/* Waits for octets. When the store ends, an idle session ends at once. A session within a message
 * first reads the rest, which takes milliseconds because the worker has the whole message. A
 * session before LHLO does not count as idle: if it ended at the greeting, the worker would think
 * that the store is down. */
static enum input wait_input(struct lmtp *l)
{
    bool idle = !smtp_in_data(&l->session) && envelope_helo(&l->session.envelope).len > 0;
    struct pollfd p[2] = {{.fd = l->fd, .events = POLLIN},
                          {.fd = idle ? l->context->stop : -1, .events = POLLIN}};
    int n;
    do {
        n = poll(p, 2, idle ? -1 : STALL_MS);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return INPUT_GONE;
    return p[0].revents ? INPUT_COME : INPUT_STOP;
}

/* Sends the replies only now, when all input is answered: one write for a pipelined burst. */
static bool read_input(struct lmtp *l)
{
    if (send_all(l->fd, &l->out) < 0 || l->len == sizeof l->input)
        return false;
    switch (wait_input(l)) {
    case INPUT_STOP:
        l->closing = true;
        smtp_shut(&l->session, REPLY_SHUTDOWN);
        return true;
    case INPUT_COME: {
        ssize_t n = recv(l->fd, l->input + l->len, sizeof l->input - l->len, 0);
        if (n > 0)
            l->len += (size_t)n;
        return n > 0 || (n < 0 && errno == EINTR);
    }
    case INPUT_GONE: break;
    }
    return false;
}

/* Folds an address into the form that names folders. A bare <postmaster> belongs to the first
 * domain. */
static bool fold(const struct lmtp *l, struct span address, char out[ADDRESS_MAX + LOCAL_MAX])
{
    struct mailbox box = {.local = address};
    for (size_t i = 0; i < address.len; i++)
        if (address.at[i] == '@')
            box = (struct mailbox){span_first(address, i), span_after(address, i + 1)};
    if (box.domain.len == 0)
        box.domain = config_own_domain(l->context->config);
    return mailbox_fold(&box, out, ADDRESS_MAX + LOCAL_MAX) > 0;
}

static struct mailbox split(const char *folded)
{
    const char *at = strrchr(folded, '@');
    return (struct mailbox){{folded, (size_t)(at - folded)}, span_of(at + 1)};
}

static void judge_recipient(struct lmtp *l)
{
    char folded[ADDRESS_MAX + LOCAL_MAX];
    struct span address = l->step.address;
    bool ours =
        fold(l, address, folded) && config_is_local(l->context->config, split(folded).domain);
    /* A worker sends only what its configuration has, so this domain is being added or removed: for a
     * moment workers of one generation reach the store of another one. */
    struct reply other = reply_make(REPLY_BACKEND_DOWN, (struct span){0});
    smtp_recipient_is(&l->session, ours ? RECIPIENT_TAKE : RECIPIENT_OTHER, address, &other);
}

/* user+tag is delivered to user. A quoted local part is one name, whatever it contains. */
static int add_mailbox(struct lmtp *l, struct span address)
{
    char folded[ADDRESS_MAX + LOCAL_MAX];
    if (!fold(l, address, folded))
        return -EINVAL;
    struct mailbox box = split(folded);
    const char *delimiters = l->context->config->recipient_delimiter;
    if (delimiters && *delimiters && *folded != '"')
        box.local = local_without_tag(box.local, delimiters);
    return maildir_add(&l->message, box.local, box.domain);
}

static int write_return_path(struct lmtp *l)
{
    struct buf line = {0};
    struct span sender = envelope_sender(&l->session.envelope);
    int error =
        buf_addf(&line, "Return-Path: <%.*s>\n", (int)sender.len, sender.at ? sender.at : "");
    if (!error)
        error = maildir_write(&l->message, buf_span(&line));
    buf_free(&line);
    return error;
}

static void begin_message(struct lmtp *l)
{
    struct envelope_recipient r = {0};
    l->began_ms = clock_mono_ms();
    l->line_start = true;
    l->failure = 0;
    l->in_message = true;
    maildir_begin(&l->message, l->context->root, l->context->config->hostname);
    while (!l->failure && envelope_next(&l->session.envelope, &r))
        l->failure = add_mailbox(l, r.address);
    if (!l->failure)
        l->failure = write_return_path(l);
}

/* Here a CR is always part of a line end, because the session refuses messages with a bare CR. */
static size_t drop_returns(char *text, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r')
            text[kept++] = text[i];
    return kept;
}

static void add_body(struct lmtp *l)
{
    struct span body = l->step.body;
    while (!l->failure && body.len > 0) {
        struct span part = span_first(body, sizeof l->plain);
        size_t n = data_unstuff(&l->line_start, part, l->plain);
        n = drop_returns(l->plain, n);
        l->failure = maildir_write(&l->message, (struct span){l->plain, n});
        body = span_after(body, part.len);
    }
}

static void void_message(struct lmtp *l)
{
    if (l->in_message)
        maildir_drop(&l->message);
    l->in_message = false;
}

static void log_outcome(const struct lmtp *l, int error)
{
    struct log_line line;
    struct envelope_recipient r = {0};
    log_begin(&line, error ? LOG_ERROR : LOG_INFO, error ? "not_stored" : "stored");
    log_span(&line, "from", envelope_sender(&l->session.envelope));
    while (envelope_next(&l->session.envelope, &r))
        log_span(&line, "to", r.address);
    log_int(&line, "size", (int64_t)l->message.size);
    log_text(&line, "file", l->message.name);
    log_seconds(&line, "took", clock_mono_ms() - l->began_ms);
    if (error)
        log_text(&line, "error", strerrordesc_np(-error));
    log_end(&line);
}

static void end_message(struct lmtp *l)
{
    int error = l->failure ? l->failure : maildir_commit(&l->message);
    log_outcome(l, error);
    void_message(l);
    bool full = error == -ENOSPC || error == -EDQUOT;
    enum reply_id id = !error ? REPLY_OK : full ? REPLY_NO_SPACE : REPLY_BACKEND_DOWN;
    struct reply reply = reply_make(id, (struct span){0});
    smtp_message_is(&l->session, &reply);
}

/* One step of the session; false when the connection is over. */
static bool serve_step(struct lmtp *l)
{
    size_t used = 0;
    enum smtp_want want =
        smtp_step(&l->session, &l->service, (struct span){l->input, l->len}, &used, &l->step);
    bool go_on = true;
    switch (want) {
    case SMTP_INPUT: break;
    case SMTP_REPLY: go_on = reply_write(&l->step.reply, &l->out) == 0; break;
    case SMTP_RECIPIENT: judge_recipient(l); break;
    case SMTP_MESSAGE: begin_message(l); break;
    case SMTP_BODY: add_body(l); break;
    case SMTP_MESSAGE_END: end_message(l); break;
    case SMTP_MESSAGE_VOID: void_message(l); break;
    case SMTP_PASSWORD:
    case SMTP_SCRAM:
    case SMTP_START_TLS: /* none of these is offered on this socket */
    case SMTP_END: go_on = false; break;
    }
    memmove(l->input, l->input + used, l->len - used);
    l->len -= used;
    if (want == SMTP_INPUT)
        return !l->closing && read_input(l);
    return go_on;
}

void lmtp_serve(const struct lmtp_context *context, int fd)
{
    struct timeval stall = {.tv_sec = STALL_MS / 1000};
    struct lmtp *l = calloc(1, sizeof *l);
    if (l) {
        l->context = context;
        l->fd = fd;
        l->service = (struct smtp_service){.hostname = context->config->hostname,
                                           .recipients_max = ENVELOPE_RECIPIENTS_MAX,
                                           .lmtp = true,
                                           .allow_nul = true, /* workers judge */
                                           .offer = SMTP_OFFER_ALL,
                                           .able = SMTP_OFFER_ALL};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
        smtp_start(&l->session, true);
        while (serve_step(l))
            ;
        send_all(fd, &l->out);
        void_message(l);
        smtp_free(&l->session);
        buf_free(&l->out);
        free(l);
    }
    close(fd);
}
