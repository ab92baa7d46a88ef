/* A client between its greeting and MAIL, as a worker sees it: no sender has been named. */
#ifndef MIRED_SIM_BEFORE_MAIL_H
#define MIRED_SIM_BEFORE_MAIL_H

#include "tarpit/tarpit.h"

static inline void before_mail(struct tarpit_who *who)
{
    who->pair = 0;
    who->null_sender = who->sender_known = false;
}

#endif
