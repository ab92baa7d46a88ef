/* Judging replies by code, enhanced code and words; see verdict.h.
 *
 * There are two tables; in each, the first row that fits decides. Codes come first, because they
 * are the same in all languages. Words decide only where codes leave it open: 5.7.x and replies
 * without an enhanced code say both "this recipient is refused" and "this host is refused". The
 * words are those of Postfix, Exim, sendmail, qmail, OpenSMTPD and Exchange. */
#include "smtp/verdict.h"

#include <stddef.h>
#include <string.h>

#include "smtp/text.h"

enum { ANY = -1, WORDS_MAX = 512 };

/* What a row says of a reply. */
enum subject {
    OPEN, /* not decided here */
    MAIL,
    NOBODY,
    SENDER,          /* about us if the sender is ours */
    CLIENT,          /* about us unless the server takes us for the client */
    US_UNLESS_NAMED, /* about us, unless the words name something else */
    US
};

/* Code 0 is any code; ANY is any number in the enhanced code; subject 0 with detail 0 also means a
 * reply without an enhanced code. */
static const struct {
    uint16_t code;
    int8_t subject, detail;
    enum subject about;
} codes[] = {
    {500, ANY, ANY, US},              /* command unrecognised */
    {501, 1, ANY, MAIL},              /* of an address: 5.1.3, 5.1.7 */
    {501, ANY, ANY, US_UNLESS_NAMED}, /* Postfix: Helo command rejected: Invalid name */
    {502, ANY, ANY, US},
    {503, ANY, ANY, US},
    {504, ANY, ANY, US_UNLESS_NAMED}, /* ... need fully-qualified hostname */
    {521, ANY, ANY, CLIENT},          /* accepts no mail from this host (RFC 7504) */
    {523, ANY, ANY, US},
    {524, 2, 4, NOBODY}, /* OpenSMTPD: leads to no mailbox */
    {530, ANY, ANY, US}, /* log in, or STARTTLS, first */
    {534, ANY, ANY, US},
    {535, ANY, ANY, US},
    {538, ANY, ANY, US},
    {555, ANY, ANY, US},     /* a parameter that we have sent */
    {556, ANY, ANY, NOBODY}, /* the domain takes no mail (RFC 7504) */
    {0, 1, 7, SENDER},
    {0, 1, 8, SENDER},
    {0, 1, ANY, NOBODY},
    {0, 3, 5, US}, /* system incorrectly configured */
    {0, 5, ANY, US},
    {0, 7, 9, US}, /* about the login: mechanism too weak, encryption needed, no such account */
    {0, 7, 11, US},
    {0, 7, 13, US},
    {0, 7, 25, CLIENT}, /* reverse DNS of the host (RFC 7372) */
    {0, 7, 51, US},     /* Exchange Online: no connector there accepts mail from our address */
    {0, 7, 64, US},
    {0, 7, ANY, OPEN},
    {0, 4, 1, OPEN}, /* Exchange has many reasons for it; its words say which */
    {0, 0, ANY, OPEN},
    {0, ANY, ANY, MAIL},
};

/* In lower case. */
static const struct {
    const char *words;
    enum subject about;
} phrases[] = {
    {"client host", CLIENT}, /* Postfix: rejected, blocked using */
    {"helo command rejected", CLIENT},
    {"helo ", CLIENT},
    {"ehlo ", CLIENT},
    {"your host", CLIENT},
    {"your ip", CLIENT},
    {"your server", CLIENT},
    {"your system", CLIENT},
    {"ip address", CLIENT},
    {"[127.0.0.1]", CLIENT},
    {"[::1]", CLIENT},
    {"reverse dns", CLIENT},
    {"reverse hostname", CLIENT},
    {"rdns", CLIENT},
    {"ptr record", CLIENT},
    {"blocked using", CLIENT},
    {"blacklisted", CLIENT},
    {"blocklist", CLIENT},
    {"listed at", CLIENT},
    {"listed in", CLIENT},
    {"too many connections", US},
    {"too many errors", US},
    {"authentication required", US},
    {"authentication is required", US},
    {"not authenticated", US},
    {"must authenticate", US},
    {"log in first", US},
    {"must issue a starttls", US},
    {"starttls", US},
    {"encryption required", US},
    {"encryption needed", US},
    {"configuration error", US},
    {"system error", US},
    {"internal error", US},
    {"local error", US},
    {"temporar", US},
    {"try again", US},
    {"sender address rejected", SENDER},
    {"sender verify", SENDER},
    {"sender rejected", SENDER},
    {"sender denied", SENDER},
    {"null sender", SENDER},
    {"empty sender", SENDER},
    {"empty envelope sender", SENDER},
    {"bounce", SENDER},
    {"undeliverable address", NOBODY}, /* Postfix's own verification */
    {"user unknown", NOBODY},
    {"unknown user", NOBODY},
    {"user not known", NOBODY},
    {"user not found", NOBODY},
    {"unknown recipient", NOBODY},
    {"recipient unknown", NOBODY},
    {"recipient not found", NOBODY},
    {"recipientnotfound", NOBODY}, /* Exchange's 550 5.1.10 RESOLVER.ADR.RecipientNotFound */
    {"unknown address", NOBODY},
    {"address unknown", NOBODY},
    {"unknown local", NOBODY},
    {"unrouteable address", NOBODY}, /* Exim */
    {"unroutable address", NOBODY},
    {"invalid recipient", NOBODY},
    {"invalid mailbox", NOBODY},
    {"invalid address", NOBODY},
    {"no such", NOBODY},
    {"not exist", NOBODY},
    {"n't exist", NOBODY},
    {"no mailbox", NOBODY}, /* qmail: sorry, no mailbox here by that name */
    {"mailbox not found", NOBODY},
    {"mailbox unavailable", NOBODY}, /* RFC 5321 */
    {"mailbox unknown", NOBODY},
    {"unknown mailbox", NOBODY},
    {"not a valid mailbox", NOBODY},
    {"user not local", NOBODY}, /* RFC 5321, 551 */
    {"#5.1.", NOBODY},          /* qmail has its enhanced codes at the end */
    {"recipient address rejected", MAIL},
    {"recipient rejected", MAIL},
    {"access denied", CLIENT},
    {"access rejected", CLIENT},
    {"access not allowed", CLIENT},
    {"permission denied", CLIENT},
    {"not authorized", CLIENT},
    {"not authorised", CLIENT},
    {"not permitted", CLIENT},
    {"not allowed", CLIENT},
    {"unauthorized", CLIENT},
    {"administrative prohibition", CLIENT}, /* Exim, if the rule has no message */
    {"relay", CLIENT},                      /* the right to relay depends on the host */
    {"rcpthosts", CLIENT},
    {"#5.7.", CLIENT},
    {"service unavailable", CLIENT},
    {"service not available", CLIENT},
};

static bool matches(int8_t row, unsigned value)
{
    return row == ANY || (unsigned)row == value;
}

static enum subject by_code(const struct reply *r)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if ((codes[i].code == 0 || codes[i].code == r->code) &&
            matches(codes[i].subject, r->enhanced[1]) && matches(codes[i].detail, r->enhanced[2]))
            return codes[i].about;
    return OPEN;
}

/* Copies the words of a reply in lower case, without the addresses that it quotes (in <...> or with
 * an '@'), so that <client host@example.org> decides nothing. Returns the length. */
static size_t own_words(struct span text, char out[WORDS_MAX])
{
    size_t len = 0;

    while (text.len && len < WORDS_MAX) {
        size_t end = text.at[0] == '<' ? span_find(text, '>') : span_find(text, ' ');
        struct span word = span_first(text, end + (end < text.len));
        text = span_after(text, word.len);
        if (word.at[0] == '<' || span_find(word, '@') < word.len)
            continue;
        for (size_t i = 0; i < word.len && len < WORDS_MAX; i++)
            out[len++] = word.at[i] == '\n' ? ' ' : text_lower(word.at[i]);
    }
    return len;
}

static enum subject by_words(struct span text)
{
    char words[WORDS_MAX];
    size_t len = own_words(text, words);

    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (memmem(words, len, phrases[i].words, strlen(phrases[i].words)))
            return phrases[i].about;
    return OPEN;
}

/* The words of a reply to the message come from a filter, and may name hosts that it found in the
 * message. */
static enum subject subject_of(enum reply_stage stage, const struct reply *r)
{
    enum subject about = by_code(r), named = OPEN;

    if ((about == OPEN || about == US_UNLESS_NAMED) && stage != STAGE_MESSAGE)
        named = by_words(r->arg);
    /* Exchange Online's "550 5.4.1 Recipient address rejected: Access denied" is its answer for a
     * recipient that does not exist (Directory-Based Edge Blocking). */
    if (named == MAIL && r->enhanced[1] == 4 && r->enhanced[2] == 1)
        return NOBODY;
    if (named != OPEN)
        return named;
    return about == US_UNLESS_NAMED ? US : about;
}

const char *reply_stage_text(enum reply_stage stage)
{
    static const char *const text[STAGE_COUNT] = {[STAGE_GREETING] = "the connection",
                                                  [STAGE_HELLO] = "EHLO",
                                                  [STAGE_TLS] = "STARTTLS",
                                                  [STAGE_XCLIENT] = "XCLIENT or XFORWARD",
                                                  [STAGE_LOGIN] = "AUTH",
                                                  [STAGE_MAIL] = "MAIL",
                                                  [STAGE_RCPT] = "RCPT",
                                                  [STAGE_DATA] = "DATA",
                                                  [STAGE_MESSAGE] = "the message"};
    return text[stage];
}

/* 525 5.7.13 is a disabled account (RFC 5248). */
static bool refuses_login(const struct reply *r)
{
    return r->code == 535 || (r->code == 525 && r->enhanced[1] == 7 && r->enhanced[2] == 13);
}

enum reply_about reply_about(enum reply_stage stage, enum reply_speaker speaker,
                             const struct reply *r)
{
    if (stage == STAGE_LOGIN)
        return r->code == 235 || refuses_login(r) ? REPLY_ABOUT_MAIL : REPLY_ABOUT_US;
    if (r->code < 300)
        return REPLY_ABOUT_MAIL;
    if (stage < STAGE_MAIL || r->code < 400 || r->code == 421)
        return REPLY_ABOUT_US;
    switch (subject_of(stage, r)) {
    case US_UNLESS_NAMED:
    case US: return REPLY_ABOUT_US;
    case CLIENT: return speaker == SPEAKER_CLIENT ? REPLY_ABOUT_MAIL : REPLY_ABOUT_US;
    case SENDER: return speaker == SPEAKER_PROBE ? REPLY_ABOUT_US : REPLY_ABOUT_MAIL;
    case OPEN:
    case MAIL:
    case NOBODY: break;
    }
    /* MAIL FROM:<> of our own says nothing about a client's mail */
    return stage == STAGE_MAIL && speaker == SPEAKER_PROBE ? REPLY_ABOUT_US : REPLY_ABOUT_MAIL;
}

bool reply_is_offence(enum reply_stage stage, enum reply_speaker speaker, const struct reply *r)
{
    if (r->code < 500 || reply_about(stage, speaker, r) == REPLY_ABOUT_US)
        return false;
    switch (r->enhanced[1]) {
    case 0: return r->code != 552; /* a 552 is about space: of a mailbox, or a message's size */
    case 1:
    case 7: return true;
    case 2: return r->enhanced[2] == 1;
    default: return false;
    }
}

bool reply_means_nobody(const struct reply *r)
{
    if (r->code < 500 || (r->enhanced[0] && r->enhanced[0] != 5))
        return false;
    return subject_of(STAGE_RCPT, r) == NOBODY;
}
