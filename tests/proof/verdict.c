/* The judgement of replies: any code and enhanced code, at any stage, and words of any octets, in
 * one piece of any length up to OCTETS, alone and where the words are cut. */
#define MIRED_PROOF_OCTETS 3
#include "any_smtp.h"
#include "any_text.h"

#include "smtp/verdict.h"

static void judge(struct span words)
{
    enum reply_stage stage = (enum reply_stage)Frama_C_interval(0, STAGE_COUNT - 1);
    enum reply_speaker speaker = (enum reply_speaker)Frama_C_interval(0, SPEAKER_COUNT - 1);
    struct reply r = {.id = REPLY_OTHER,
                      .code = (uint16_t)Frama_C_unsigned_int_interval(200, 599),
                      .enhanced = {any_number, any_number, any_number},
                      .arg = words};

    (void)reply_stage_text(stage);
    if (any_choice)
        (void)reply_is_offence(stage, speaker, &r); /* and so reply_about() */
    else
        (void)reply_means_nobody(&r);
}

/* 512 octets of a reply count. */
static void judge_long(void)
{
    enum { BEFORE = 511 };
    char text[BEFORE + 2];

    for (int i = 0; i < BEFORE; i++)
        text[i] = 'a';
    Frama_C_make_unknown(text + BEFORE, 1);
    text[BEFORE + 1] = 'a';
    judge((struct span){text, sizeof text});
}

static void follow(struct span in)
{
    if (any_choice)
        judge(in);
    else
        judge_long();
}
