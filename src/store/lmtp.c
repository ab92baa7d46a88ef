/* One LMTP connection of the store: the sans-I/O session of src/smtp on one side, a Maildir message
 * on the other.
 *
 * The worker that connects has checked recipients already; here only the domain is checked, because
 * the store cannot relay. What the domain of a bare <postmaster> is, and what is a tag, the worker says:
 * during a reload it may be one of another configuration. Octets come from the session dot-stuffed and with CRLF, and go into the
 * Maildir unstuffed and with LF. After the data each recipient gets the reply of its own mailbox: a
 * positive one means that its copy is on the disk. All replies are sent together, when the last
 * mailbox has its outcome.
 *
 * Runs in the store, one thread for each connection. It touches no mailbox, because that may hang:
 * another thread does (courier.h). It may block on anything except an idle client: see
 * wait_input(). */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "query/store_words.h"
#include "smtp/ability.h"
#include "smtp/session.h"
#include "smtp/text.h"
#include "store/courier.h"
#include "store/lmtp.h"

enum {
    INPUT_ROOM = 64 * 1024,
    /* a worker that does not read our replies, or stalls within a message, is broken */
    STALL_MS = 60000,
};

struct addressee {
    int16_t box;   /* in the message; -1: none, `error` says why */
    int16_t error; /* -errno; 0: none */
};

struct lmtp {
    const struct lmtp_context *context;
    struct span own_domain; /* of an address without one */
    const char *delimiters; /* of tags */
    struct smtp_service service;
    struct smtp_session session;
    struct smtp_step step;
    struct courier courier;
    bool in_message; /* the courier has one */
    bool failed;     /* no mailbox can get it: its octets are dropped from now on */
    bool line_start; /* of data_unstuff() */
    struct addressee to[ENVELOPE_RECIPIENTS_MAX]; /* of the message, in their order */
    size_t recipients, answered;
    bool closing; /* the session was told to send a 421 */
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

/* Folds an address into the form that names folders. A bare <postmaster> belongs to the worker's
 * first domain. */
static bool fold(const struct lmtp *l, struct span address, char out[ADDRESS_MAX + LOCAL_MAX])
{
    struct mailbox box = {.local = address};
    for (size_t i = 0; i < address.len; i++)
        if (address.at[i] == '@')
            box = (struct mailbox){span_first(address, i), span_after(address, i + 1)};
    if (box.domain.len == 0)
        box.domain = l->own_domain;
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

/* user+tag is delivered to user. A quoted local part is one name, whatever it contains. Returns the
 * mailbox's number or -errno. */
static int add_mailbox(struct lmtp *l, struct span address)
{
    char folded[ADDRESS_MAX + LOCAL_MAX];
    if (!fold(l, address, folded))
        return -EINVAL;
    struct mailbox box = split(folded);
    if (*l->delimiters && *folded != '"')
        box.local = local_without_tag(box.local, l->delimiters);
    return maildir_add(courier_message(&l->courier), box.local, box.domain);
}

static void add_recipient(struct lmtp *l, struct span address)
{
    int box = l->in_message ? add_mailbox(l, address) : -ENOMEM;
    if (l->recipients == ENVELOPE_RECIPIENTS_MAX) /* never: the session takes no more */
        return;
    l->to[l->recipients].box = box < 0 ? -1 : (int16_t)box;
    l->to[l->recipients++].error = box < 0 ? (int16_t)box : 0;
}

static bool write_return_path(struct lmtp *l)
{
    return courier_write(&l->courier, SPAN("Return-Path: <")) == 0 &&
           courier_write(&l->courier, envelope_sender(&l->session.envelope)) == 0 &&
           courier_write(&l->courier, SPAN(">\n")) == 0;
}

/* Whether the worker says that it has sent the message before. */
static bool came_before(const struct lmtp *l)
{
    struct span words = envelope_sender_params(&l->session.envelope);
    for (struct span word = text_word(&words); word.len; word = text_word(&words))
        if (span_equal_fold(word, SPAN(SMTP_AGAIN)))
            return true;
    return false;
}

static void begin_message(struct lmtp *l)
{
    struct envelope_recipient r = {0};
    l->began_ms = clock_mono_ms();
    l->line_start = true;
    l->recipients = l->answered = 0;
    l->in_message = courier_begin(&l->courier, l->context->root, l->context->config->hostname);
    if (l->in_message)
        courier_message(&l->courier)->again = came_before(l);
    while (envelope_next(&l->session.envelope, &r))
        add_recipient(l, r.address);
    l->failed = !l->in_message || !write_return_path(l);
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
    while (!l->failed && body.len > 0) {
        struct span part = span_first(body, sizeof l->plain);
        size_t n = data_unstuff(&l->line_start, part, l->plain);
        n = drop_returns(l->plain, n);
        l->failed = courier_write(&l->courier, (struct span){l->plain, n}) < 0;
        body = span_after(body, part.len);
    }
}

static void void_message(struct lmtp *l)
{
    courier_end(&l->courier);
    l->in_message = false;
}

/* ---- the outcome ---- */

/* One line for all recipients with this outcome, and the mailbox of the first. The recipients come
 * last, because the line may have no room for all. */
static void log_outcome(const struct lmtp *l, int error)
{
    struct log_line line;
    struct envelope_recipient r = {0};
    const char *mailbox = NULL;
    for (size_t i = l->recipients; i-- > 0;)
        if (l->to[i].error == error && l->to[i].box >= 0)
            mailbox = maildir_path(courier_message(&l->courier), (size_t)l->to[i].box);
    if (error) {
        log_begin(&line, LOG_ERROR, "not_stored");
        log_text(&line, "error", strerrordesc_np(-error));
    } else {
        log_begin(&line, LOG_INFO, "stored");
    }
    if (error && mailbox)
        log_text(&line, "mailbox", mailbox);
    log_span(&line, "from", envelope_sender(&l->session.envelope));
    log_int(&line, "size", (int64_t)courier_message(&l->courier)->size);
    log_text(&line, "file", courier_message(&l->courier)->name);
    log_seconds(&line, "took", clock_mono_ms() - l->began_ms);
    for (size_t i = 0; i < l->recipients && envelope_next(&l->session.envelope, &r); i++)
        if (l->to[i].error == error)
            log_span(&line, "to", r.address);
    log_end(&line);
}

static void log_outcomes(const struct lmtp *l)
{
    for (size_t i = 0; i < l->recipients; i++) {
        bool said = false;
        for (size_t k = 0; k < i && !said; k++)
            said = l->to[k].error == l->to[i].error;
        if (!said)
            log_outcome(l, l->to[i].error);
    }
}

/* The reply to the next recipient. */
static struct reply next_answer(struct lmtp *l)
{
    int error = l->answered < l->recipients ? l->to[l->answered++].error : -EIO;
    bool full = error == -ENOSPC || error == -EDQUOT;
    enum reply_id id = !error ? REPLY_OK : full ? REPLY_NO_SPACE : REPLY_BACKEND_DOWN;
    return reply_make(id, (struct span){0});
}

static void take_outcomes(struct lmtp *l)
{
    const struct maildir_message *m = courier_message(&l->courier);
    for (size_t i = 0; i < l->recipients; i++)
        if (l->to[i].box >= 0)
            l->to[i].error = (int16_t)maildir_error(m, (size_t)l->to[i].box);
}

static void end_message(struct lmtp *l)
{
    if (l->in_message) {
        courier_commit(&l->courier);
        take_outcomes(l);
        log_outcomes(l);
    }
    void_message(l);
    struct reply first = next_answer(l);
    smtp_message_is(&l->session, &first);
}

static bool answer(struct lmtp *l)
{
    bool written = reply_write(&l->step.reply, &l->out) == 0;
    if (l->answered > 0 && l->answered < l->recipients) {
        struct reply next = next_answer(l);
        smtp_message_next(&l->session, &next);
    }
    return written;
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
    case SMTP_REPLY: go_on = answer(l); break;
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

void lmtp_serve(const struct lmtp_context *context, const struct store_words *words, int fd)
{
    const char *own = context->config->recipient_delimiter;
    struct timeval stall = {.tv_sec = STALL_MS / 1000};
    struct lmtp *l = calloc(1, sizeof *l);
    if (l) {
        l->context = context;
        l->own_domain = words ? span_of(words->domain) : config_own_domain(context->config);
        l->delimiters = words ? words->delimiters : own ? own : "";
        l->fd = fd;
        l->service = (struct smtp_service){.hostname = context->config->hostname,
                                           .recipients_max = ENVELOPE_RECIPIENTS_MAX,
                                           .lmtp = true,
                                           .allow_nul = true, /* workers judge */
                                           .again = true,
                                           .offer = SMTP_OFFER_ALL,
                                           .able = SMTP_OFFER_ALL};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof stall);
        smtp_start(&l->session, true);
        while (serve_step(l))
            ;
        send_all(fd, &l->out);
        courier_close(&l->courier);
        smtp_free(&l->session);
        buf_free(&l->out);
        free(l);
    }
    close(fd);
}
