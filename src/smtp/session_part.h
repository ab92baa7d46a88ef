/* What the parts of a session share: session.c (stepping, replies), session_hello.c,
 * session_mail.c, session_auth.c and session_data.c. Private to src/smtp. */
#ifndef MIRED_SMTP_SESSION_PART_H
#define MIRED_SMTP_SESSION_PART_H

#include "smtp/command.h"
#include "smtp/session.h"

/* smtp_session.wait: why input is not read now; WAIT_NOTHING: it is. */
enum session_wait {
    WAIT_NOTHING,
    WAIT_TELL,      /* a reply is ready for the caller */
    WAIT_SENT,      /* the caller has the reply; the next call means that it has been sent */
    WAIT_RECIPIENT, /* smtp_recipient_is() */
    WAIT_PASSWORD,  /* smtp_password_is() */
    WAIT_SCRAM,     /* smtp_scram_is() */
    WAIT_TLS,       /* smtp_tls_is_on() */
    WAIT_SPOOL,     /* the next call means that there is a spool */
    WAIT_WHOLE,     /* the message is complete; the caller does not know it yet */
    WAIT_MESSAGE,   /* smtp_message_is() */
    WAIT_END,       /* the session has ended */
    WAIT_COUNT
};

/* smtp_session.reading: what the next octets are. */
enum session_reading { READ_COMMAND, READ_AUTH, READ_DATA, READ_CHUNK, READ_COUNT };

/* smtp_session.after: what follows when the reply has been sent. */
enum session_after { AFTER_NOTHING, AFTER_TLS, AFTER_END, AFTER_COUNT };

/* smtp_session.mechanism: which response of AUTH comes next. */
enum session_mechanism {
    MECHANISM_NONE,
    MECHANISM_PLAIN,
    MECHANISM_LOGIN_USER,
    MECHANISM_LOGIN_PASSWORD,
    MECHANISM_SCRAM,
    MECHANISM_SCRAM_PLUS,
    MECHANISM_SCRAM_PROOF, /* the second message */
    MECHANISM_SCRAM_END,   /* an empty response to our proof that we know the password */
    MECHANISM_COUNT
};

enum { SESSION_JUNK_MOST = (1 << 14) - 1 }; /* that the field can hold */

static_assert(STATE_COUNT <= 8 && READ_COUNT <= 4 && WAIT_COUNT <= 16 && MECHANISM_COUNT <= 8 &&
                  AFTER_COUNT <= 4 && SMTP_OFFER_ALL <= 7 &&
                  UINT8_MAX * SMTP_JUNK_STEPS * SMTP_JUNK_WITHIN + SMTP_JUNK_REFUSED +
                          UINT32_MAX / SMTP_JUNK_OCTETS <=
                      SESSION_JUNK_MOST,
              "they fit into the bits of struct smtp_session");

/* How many recipients a message may have. */
static inline uint32_t session_recipients_max(const struct smtp_service *service)
{
    uint32_t max = service->recipients_max;
    return max && max < ENVELOPE_RECIPIENTS_MAX ? max : ENVELOPE_RECIPIENTS_MAX;
}

enum { GO_ON = -1 }; /* turn.want: the session needs nothing from the caller yet */

/* One call of smtp_step(). */
struct turn {
    struct smtp_session *s;
    const struct smtp_service *service;
    struct span in; /* the unused input */
    struct smtp_step *step;
    int want; /* enum smtp_want or GO_ON */
};

/* Makes a reply the pending one, which is sent next. Without memory for its argument the session
 * ends with REPLY_BUSY instead. */
void session_tell(struct smtp_session *s, const struct reply *r);
void session_say(struct smtp_session *s, enum reply_id id);
void session_say_with(struct smtp_session *s, enum reply_id id, struct span arg);

/* The same for a 5xx that is no offence here, because check tools or misconfigured clients cause
 * it, and it reveals nothing to an attacker. */
void session_say_kindly(struct smtp_session *s, enum reply_id id, struct span arg);

/* Goes back to STATE_READY (or STATE_FRESH): no sender, no recipients, no message; the caller frees
 * its spool. */
void session_reset(struct smtp_session *s);

/* Counts steps of junk, and octets that were received in vain. */
void session_count_vain(struct smtp_session *s, unsigned steps, uint32_t octets);

/* Counts a command that brings no mail forward and has been answered. Beyond the limit the session
 * ends with a 421 in place of that answer. The offence of the answer stays, and so does its hold. */
void session_count_junk(struct turn *t, unsigned steps);

/* Counts steps of a transaction that are within SMTP_JUNK_WITHIN times the limit. False: they are not,
 * and the session ends. */
bool session_count_within(struct turn *t, unsigned steps);

/* Whether a message or chunk that is refused, of so many octets, is not read on; see
 * SMTP_JUNK_OCTETS. */
bool session_is_endless(const struct turn *t, uint32_t octets);

/* The session ends with its pending reply, as one that sends junk. */
void session_end_junk(struct smtp_session *s);

/* Ends a message, accepted or not: the transaction is over and `r` is sent, in LMTP once for each
 * recipient. */
void session_message_over(struct smtp_session *s, const struct reply *r);

/* Refuses the message that is being read: its octets are dropped from now on, and `id` is its
 * reply. */
void session_void(struct smtp_session *s, enum reply_id id);

/* The reply to a message that is too large, with s->size octets read or declared. */
struct reply session_too_large(const struct smtp_session *s, const struct smtp_service *service);

/* Reads a line of the current command; `max` as for smtp_command_line(), `too_long` is the reply to
 * a longer one. */
enum line_result session_line(struct turn *t, size_t max, enum reply_id too_long,
                              struct span *line);

/* The mechanisms (enum smtp_auth) that may be used now, over this connection. */
uint32_t session_may_auth(const struct smtp_session *s, const struct smtp_service *service);
struct span session_auth_prompt(const struct smtp_session *s);

/* Refuses a BDAT with the pending reply, after its octets have been read. */
void session_refuse_chunk(struct turn *t, struct span arg);

/* Readers of octets, by enum session_reading. */
void session_read_auth(struct turn *t);
void session_read_data(struct turn *t);
void session_read_chunk(struct turn *t);

/* Steps of a message between caller and session. */
void session_message_begun(struct turn *t);
void session_message_whole(struct turn *t);

/* Handlers of commands: the table in command.c. */
void session_helo(struct turn *t, struct span arg);
void session_ehlo(struct turn *t, struct span arg);
void session_lhlo(struct turn *t, struct span arg);
void session_starttls(struct turn *t, struct span arg);
void session_rset(struct turn *t, struct span arg);
void session_quit(struct turn *t, struct span arg);
void session_mail(struct turn *t, struct span arg);
void session_rcpt(struct turn *t, struct span arg);
void session_auth(struct turn *t, struct span arg);
void session_data(struct turn *t, struct span arg);
void session_bdat(struct turn *t, struct span arg);

#endif
