/* Any session that smtp_step() and the answers can leave, and whether one is such a session; any
 * service. */
#ifndef MIRED_PROOF_ANY_SESSION_H
#define MIRED_PROOF_ANY_SESSION_H

#include "any_smtp.h"

#include "smtp/session_part.h"

static struct smtp_session any_session(uint8_t state, uint8_t wait, uint8_t reading,
                                       uint8_t mechanism)
{
    struct smtp_session s = {
        .size = (uint32_t)any_number,
        .chunk_left = (uint32_t)any_number,
        .pending = {.id = (uint16_t)Frama_C_interval(0, REPLY_COUNT - 1),
                    .code = (uint16_t)Frama_C_unsigned_int_interval(200, 599),
                    .enhanced = {any_number, any_number, any_number},
                    .offence = (uint8_t)Frama_C_interval(0, OFFENCE_COUNT - 1)},
        .flags = (uint16_t)any_number,
        .refusal = (uint16_t)Frama_C_interval(0, REPLY_COUNT - 1),
        .repeats = (uint16_t)Frama_C_interval(0, ENVELOPE_RECIPIENTS_MAX),
        .mails = (uint16_t)any_number,
        .state = state,
        .reading = reading,
        .wait = wait,
        .mechanism = mechanism,
        .after = (uint8_t)Frama_C_interval(0, AFTER_COUNT - 1),
        .offered = (uint8_t)Frama_C_interval(0, SMTP_OFFER_ALL),
        .junk = (uint16_t)Frama_C_interval(0, SESSION_JUNK_MOST),
        .trusted = any_choice & 1};

    return s;
}

static uint8_t any_state(void)
{
    return (uint8_t)Frama_C_interval(0, STATE_COUNT - 1);
}

static struct smtp_service any_service(const char *hostname)
{
    return (struct smtp_service){.hostname = hostname,
                                 .size_max = any_number,
                                 .size_free = any_number,
                                 .recipients_max = (uint32_t)any_number,
                                 .mails_max = (uint16_t)any_number,
                                 .junk_max = (uint8_t)any_number,
                                 .lmtp = any_choice & 1,
                                 .submission = any_choice & 1,
                                 .auth = (uint32_t)any_number & SMTP_AUTH_ALL,
                                 .auth_plain_from_afar = any_choice & 1,
                                 .tls = any_choice & 1,
                                 .no_chunking = any_choice & 1,
                                 .allow_nul = any_choice & 1,
                                 .again = any_choice & 1,
                                 .offer = (uint32_t)any_number & SMTP_OFFER_ALL,
                                 .able = (uint32_t)any_number & SMTP_OFFER_ALL};
}

/* any_parts.c: whether the envelope has a proposed recipient. */
extern bool any_proposed;

static void check_session(const struct smtp_session *s)
{
    unsigned state = s->state, wait = s->wait, after = s->after;

    //@ assert known_state: state < STATE_COUNT && wait < WAIT_COUNT && after < AFTER_COUNT;
    //@ assert row_of_reply: s->pending.id < REPLY_COUNT && s->refusal < REPLY_COUNT;
    if (s->reading == READ_AUTH) {
        unsigned mechanism = s->mechanism;
        //@ assert response_has_a_reader: mechanism != MECHANISM_NONE;
    }
    if (wait == WAIT_RECIPIENT) {
        //@ assert a_recipient_is_proposed: any_proposed == 1;
    }
}

#endif
