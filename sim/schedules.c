/* The tables of senders that come back, and of the situations that they meet (schedules.h). */
#include "schedules.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };

const struct sim_schedule sim_schedules[] = {
    {.name = "Gmail",
     .about = "9 tries from 7 addresses of several /24 in 6 h, then each 2 h for 3 days",
     .real = true,
     .moves = true,
     .gives_up_s = 3.0 * DAY,
     .wait_s = {5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 35 * MINUTE, 50 * MINUTE, 70 * MINUTE,
                80 * MINUTE, 90 * MINUTE, 2 * HOUR}},
    {.name = "Outlook",
     .about = "a pool of 5 networks, each 15 minutes for a day",
     .real = true,
     .moves = true,
     .gives_up_s = 1.0 * DAY,
     .wait_s = {5 * MINUTE, 5 * MINUTE, 15 * MINUTE}},
    {.name = "AOL",
     .about = "gives up after 31.5 h",
     .real = true,
     .moves = true,
     .gives_up_s = 31.5 * HOUR,
     .wait_s = {10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 4 * HOUR}},
    {.name = "Postfix",
     .about = "300 s, doubled up to 4,000 s, for 5 days",
     .real = true,
     .gives_up_s = 5.0 * DAY,
     .wait_s = {300, 600, 1200, 2400, 4000}},
    {.name = "Exim",
     .about =
         "each 15 minutes for 2 h, then from 1 h by half longer until 16 h, each 6 h for 4 days",
     .real = true,
     .gives_up_s = 4.0 * DAY,
     .wait_s = {15 * MINUTE, 15 * MINUTE, 15 * MINUTE, 15 * MINUTE, 15 * MINUTE, 15 * MINUTE,
                15 * MINUTE, 15 * MINUTE, 1 * HOUR, 90 * MINUTE, 135 * MINUTE, 203 * MINUTE,
                304 * MINUTE, 6 * HOUR}},
    {.name = "sendmail",
     .about = "each 10 minutes (Debian) for 5 days",
     .real = true,
     .gives_up_s = 5.0 * DAY,
     .wait_s = {10 * MINUTE}},
    {.name = "OpenSMTPD",
     .about = "400 s times the square of the number of tries, for 4 days",
     .real = true,
     .gives_up_s = 4.0 * DAY,
     .wait_s = {400, 1600, 3600, 6400, 10000, 14400, 19600, 25600, 32400, 40000}},
    {.name = "small server",
     .about = "each 4 h for 2 days",
     .real = true,
     .gives_up_s = 2.0 * DAY,
     .wait_s = {4 * HOUR}},
    {.name = "bot, never again", .about = "36 % of bots", .gives_up_s = 0, .wait_s = {1}},
    {.name = "bot, too soon",
     .about = "32 %: again after 5 s, ten times",
     .gives_up_s = 50,
     .wait_s = {5}},
    {.name = "bot, once more",
     .about = "11 %: once more, after 10 minutes",
     .gives_up_s = 10 * MINUTE,
     .wait_s = {10 * MINUTE, DAY}},
};
const size_t sim_schedules_count = sizeof sim_schedules / sizeof *sim_schedules;

uint32_t sim_schedule_wait(const struct sim_schedule *s, uint32_t tries, double age_s)
{
    uint32_t at = tries > 0 ? tries - 1 : 0;

    if (at >= SCHEDULE_WAITS)
        at = SCHEDULE_WAITS - 1;
    while (at > 0 && s->wait_s[at] == 0)
        at--;
    return age_s + s->wait_s[at] <= s->gives_up_s ? s->wait_s[at] : 0;
}

/* 100 messages in six hours; the attack lasts as long. */
#define MESSAGES .role = SIM_MAIL, .agents = 100, .recipients = 1, .reads_s = 300, .base = 0xc00000
#define SENDER   MESSAGES, .addresses = 1, .per_network = 1

/* 7 addresses of 4 networks. */
#define POOL MESSAGES, .addresses = 7, .per_network = 2

#define BOTS .role = SIM_HARVEST, .missing = 0.98, .recipients = 1, .hasty = true

const struct sim_situation sim_situations[] = {
    {.name = "first contact",
     .about = "new to us, 1 % typos",
     .population = {.hours = 6, .group = {{SENDER, .domains = 1, .missing = 0.01}}}},
    {.name = "in debt by its own typos",
     .about = "new to us, half of its recipients do not exist",
     .population = {.hours = 6, .group = {{SENDER, .domains = 1, .missing = 0.5}}}},
    {.name = "beside bots",
     .about = "new to us, in a /24 with 100 bots that harvest over 10 connections each",
     .population = {.hours = 6,
                    .group = {{SENDER, .domains = 1, .missing = 0.01},
                              {BOTS, .agents = 1000, .addresses = 100, .per_network = 200,
                               .skip = 50, .base = 0xc00000}}}},
    {.name = "beside bots, with typos",
     .about = "the same, and every tenth of its recipients does not exist",
     .population = {.hours = 6,
                    .group = {{SENDER, .domains = 1, .missing = 0.1},
                              {BOTS, .agents = 1000, .addresses = 100, .per_network = 200,
                               .skip = 50, .base = 0xc00000}}}},
    {.name = "pool of bad networks",
     .about = "7 addresses of 4 networks, each with 20 bots; every tenth recipient does not exist",
     .pool = true,
     .population = {.hours = 6,
                    .group = {{POOL, .domains = 1, .missing = 0.1},
                              {BOTS, .agents = 800, .addresses = 80, .per_network = 20, .skip = 50,
                               .base = 0xc00000}}}},
    {.name = "IPv6 pool",
     .about = "the same in a /32 of which each level is bad",
     .pool = true,
     .population = {.hours = 6,
                    .group = {{POOL, .domains = 1, .ip6 = true, .missing = 0.1},
                              {BOTS, .ip6 = true, .agents = 2000, .addresses = 2000,
                               .per_network = 20, .skip = 50, .base = 0xc00000}}}},
    {.name = "shares its address",
     .about = "new to us, behind one address with a harvester of 10 connections",
     .population = {.hours = 6,
                    .group = {{SENDER, .domains = 1, .missing = 0.01},
                              {BOTS, .agents = 10, .addresses = 1, .per_network = 1,
                               .base = 0xc00000}}}},
    {.name = "shares it, many domains",
     .about = "the same for 36 hours, each message of another domain",
     .population = {.hours = 36,
                    .group = {{SENDER, .domains = 0},
                              {BOTS, .agents = 10, .addresses = 1, .per_network = 1,
                               .base = 0xc00000}}}},
    {.name = "shares it with 1,000",
     .about = "the same for 72 hours, with a harvester of 1,000 connections",
     .population = {.hours = 72,
                    .group = {{SENDER, .domains = 0},
                              {BOTS, .agents = 1000, .addresses = 1, .per_network = 1,
                               .within_s = 90, .base = 0xc00000}}}},
    {.name = "shares it with traps",
     .about = "the same for 36 hours; the harvester has 10 connections and writes to traps only",
     .population = {.hours = 36,
                    .group = {{SENDER, .domains = 0},
                              {BOTS, .traps = true, .agents = 10, .addresses = 1, .per_network = 1,
                               .within_s = 90, .base = 0xc00000}}}},
    {.name = "wide pool",
     .about =
         "24 addresses of 12 networks, each with 20 bots; every tenth recipient does not exist",
     .pool = true,
     .population = {.hours = 6,
                    .group = {{MESSAGES, .addresses = 24, .per_network = 2, .domains = 1,
                               .missing = 0.1},
                              {BOTS, .agents = 2400, .addresses = 240, .per_network = 20,
                               .skip = 50, .within_s = 90, .base = 0xc00000}}}},
    {.name = "beside an imitator",
     .imitator = true,
     .about = "the same; the harvester asks again for each name until it has learnt the verdict",
     .population = {.hours = 36,
                    .group = {{SENDER, .domains = 0},
                              {BOTS, .agents = 10, .names = 4, .addresses = 1, .per_network = 1,
                               .within_s = 90, .base = 0xc00000}}}},
};
const size_t sim_situations_count = sizeof sim_situations / sizeof *sim_situations;

struct sim_population sim_returning(const struct sim_schedule *s, const struct sim_situation *in)
{
    struct sim_population p = in->population;

    p.name = s->name;
    p.group[0].schedule = s;
    p.group[0].roams = s->moves;
    return p;
}
