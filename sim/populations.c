/* The populations of the table in docs/tarpit.md. Their patience was measured where possible: mail
 * servers wait 300 s, tools 30 s, call-outs 5 to 30 s; a harvester hangs up when it knows the
 * verdict. */
#include "populations.h"

enum { DICTIONARY = 1000000 };

/* One guess in fifty exists, as in lists of common names. */
#define HARVESTER                                                                                  \
    .role = SIM_HARVEST, .missing = 0.98, .recipients = 1, .base = 0x0a0000, .hasty = true

#define SERVER .role = SIM_MAIL, .per_network = 16, .base = 0xc00000, .reads_s = 300

/* Behind one address. */
#define NAT_POOL                                                                                   \
    {                                                                                              \
        SERVER, .domains = 1, .agents = 300, .addresses = 1, .missing = 0.03, .recipients = 1,     \
                .history = 200                                                                     \
    }

/* A provider's shared addresses, 48 in 3 networks, and the senders behind them. */
#define POOL .roams = true, .addresses = 48, .per_network = 16, .base = 0xc00000, .reads_s = 300
#define POOL_SENDERS                                                                               \
    {                                                                                              \
        .role = SIM_MAIL, POOL, .agents = 10000, .domains = 200, .mailboxes = 5000,                \
        .missing = 0.01, .recipients = 1, .history = 2800, .a_day = 400                            \
    }

const struct sim_population sim_attacks[] = {
    {.name = "harvest, 1 connection",
     .about = "a dictionary of 1,000,000 names, 2 % of them real, from one address",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .agents = 1, .addresses = 1}}},
    {.name = "harvest, 1,000 connections",
     .about = "the same over 1,000 parallel connections",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .agents = 1000, .addresses = 1}}},
    {.name = "impatient harvest",
     .about = "100 connections that give up after 10 s and come back",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .agents = 100, .addresses = 1, .bears_s = 10}}},
    {.name = "harvest as call-outs",
     .about = "100 connections that ask from <>",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .agents = 100, .addresses = 1, .bears_s = 6}}},
    {.name = "one network, 254 bots",
     .about = "254 addresses of one /24, 10 connections each",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .agents = 2540, .addresses = 254, .per_network = 254}}},
    {.name = "10,000 bots",
     .about = "10,000 addresses in as many networks, 10 connections each",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .agents = 100000, .addresses = 10000}}},
    {.name = "passwords, 1,000 bots",
     .about = "wrong passwords for one account; its owner logs in 60 times meanwhile",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{.role = SIM_GUESS,
                .missing = 1,
                .recipients = 1,
                .agents = 1000,
                .addresses = 1000,
                .base = 0x0a0000},
               {.role = SIM_LOGIN,
                .recipients = 1,
                .agents = 60,
                .addresses = 1,
                .base = 0xc00000,
                .bears_s = 60}}},
    {.name = "spam run, old list",
     .about = "200 bots, messages of 20 recipients, 30 % of them dead",
     .hours = 1,
     .group = {{.role = SIM_SPAM,
                .missing = 0.3,
                .recipients = 20,
                .agents = 200,
                .addresses = 200,
                .base = 0x0a0000,
                .bears_s = 60}}},
    {.name = "IPv6, 10,000 /64",
     .about = "10,000 /64 of 20 /48 in one /40, 10 connections each",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{HARVESTER, .ip6 = true, .agents = 100000, .addresses = 10000, .per_network = 500}}},
};
const size_t sim_attacks_count = sizeof sim_attacks / sizeof sim_attacks[0];

const struct sim_population sim_senders[] = {
    {.name = "one typo",
     .about = "a person with swaks (30 s) and a single wrong address",
     .hours = 1,
     .group = {{.role = SIM_MAIL,
                .missing = 1,
                .recipients = 1,
                .agents = 1,
                .addresses = 1,
                .base = 0xc00000,
                .bears_s = 30}}},
    {.name = "small site",
     .about = "one server new to us, 200 messages a day, 2 % typos",
     .hours = 24,
     .group = {{SERVER, .domains = 1, .agents = 200, .addresses = 1, .missing = 0.02,
                .recipients = 1}}},
    {.name = "mailing list",
     .about = "1,000 messages in an hour, 2 % of the list dead, 500 good ones before",
     .hours = 1,
     .group = {{SERVER, .domains = 1, .agents = 1000, .addresses = 1, .missing = 0.02,
                .recipients = 1, .history = 500}}},
    {.name = "mailing list, new",
     .about = "the same from an address never seen before",
     .hours = 1,
     .group = {{SERVER, .domains = 1, .agents = 1000, .addresses = 1, .missing = 0.02,
                .recipients = 1}}},
    {.name = "big provider",
     .about = "48 addresses in 3 networks, 20,000 messages in an hour, 1 % typos",
     .hours = 1,
     .group = {{SERVER, .agents = 20000, .addresses = 48, .domains = 1, .missing = 0.01,
                .recipients = 1}}},
    {.name = "call-outs",
     .about = "400 call-outs in an hour from 20 servers, 30 % about nobody; they wait 10 s",
     .hours = 1,
     .group = {{.role = SIM_CALL_OUT,
                .missing = 0.3,
                .recipients = 1,
                .agents = 400,
                .addresses = 20,
                .base = 0xc00000,
                .bears_s = 10}}},
    {.name = "NAT pool",
     .about = "one address, 300 messages in an hour, 3 % typos, 200 good ones before",
     .hours = 1,
     .group = {NAT_POOL}},
    {.name = "NAT pool, one infected",
     .about = "the same, and a harvester of 10 connections behind that address",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {NAT_POOL,
               {.role = SIM_HARVEST,
                .missing = 0.98,
                .recipients = 1,
                .agents = 10,
                .addresses = 1,
                .per_network = 16,
                .base = 0xc00000,
                .hasty = true}}},
    {.name = "beside 10,000 bots",
     .about = "the small site's day while a botnet harvests from elsewhere for an hour",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group = {{SERVER, .domains = 1, .agents = 200, .addresses = 1, .missing = 0.02,
                .recipients = 1},
               {HARVESTER, .agents = 10000, .addresses = 10000}}},
    {.name = "provider pool",
     .about =
         "48 addresses, 200 domains in Zipf's proportions, a week of mail before, 10,000 "
         "messages in an hour, 1 % typos; behind the same addresses 10 spammers (30 % dead), 3 "
         "harvesters of 10 connections and one that sends spam in its largest neighbour's name",
     .hours = 1,
     .dictionary = DICTIONARY,
     .group =
         {POOL_SENDERS,
          {.role = SIM_SPAM,
           POOL,
           .agents = 10,
           .domains = 10,
           .domain_base = 1000,
           .missing = 0.3,
           .recipients = 20},
          {.role = SIM_HARVEST,
           POOL,
           .agents = 30,
           .missing = 0.98,
           .recipients = 1,
           .hasty = true},
          {.role = SIM_SPAM, POOL, .agents = 1, .domains = 1, .missing = 0.3, .recipients = 20}}},
    {.name = "beside a loud host",
     .about = "a server new to us, 100 messages in 12 hours; a neighbour in its /24 talks early on "
              "145,280 connections in 20 s (G2)",
     .hours = 12,
     .group = {{SERVER, .domains = 1, .agents = 100, .addresses = 1, .recipients = 1},
               {.role = SIM_EARLY,
                .agents = 145280,
                .addresses = 1,
                .per_network = 16,
                .skip = 100,
                .base = 0xc00000,
                .recipients = 1}}},
    {.name = "bounces to a trap",
     .about = "500 messages in 12 hours, 5,000 good ones before; an enemy's forgeries make it send "
              "100 bounces to a trap (G3)",
     .hours = 12,
     .group = {{SERVER, .domains = 1, .agents = 500, .addresses = 1, .recipients = 1,
                .history = 5000},
               {.role = SIM_BOUNCE,
                .agents = 100,
                .addresses = 1,
                .per_network = 16,
                .base = 0xc00000,
                .reads_s = 300,
                .missing = 1,
                .traps = true,
                .recipients = 1}}},
    {.name = "bounces to nobody",
     .about = "the same, to 3,000 made-up people",
     .hours = 12,
     .group = {{SERVER, .domains = 1, .agents = 500, .addresses = 1, .recipients = 1,
                .history = 5000},
               {.role = SIM_BOUNCE,
                .agents = 3000,
                .addresses = 1,
                .per_network = 16,
                .base = 0xc00000,
                .reads_s = 300,
                .missing = 1,
                .recipients = 1}}},
};
const size_t sim_senders_count = sizeof sim_senders / sizeof sim_senders[0];

struct sim_population sim_harvest(uint32_t connections)
{
    return (struct sim_population){.hours = 1,
                                   .dictionary = DICTIONARY,
                                   .group = {{HARVESTER, .agents = connections, .addresses = 1}}};
}

struct sim_population sim_botnet(uint32_t bots)
{
    return (struct sim_population){.hours = 1,
                                   .dictionary = DICTIONARY,
                                   .group = {{HARVESTER, .agents = bots, .addresses = bots}}};
}

struct sim_population sim_talkers(double talk_first)
{
    struct sim_population p = sim_botnet(3000);
    p.group[0].talks_first = talk_first;
    return p;
}

struct sim_population sim_list(double dead)
{
    return (struct sim_population){.hours = 1,
                                   .group = {{SERVER, .domains = 1, .agents = 500, .addresses = 1,
                                              .missing = dead, .recipients = 1, .history = 100}}};
}

struct sim_population sim_round(uint32_t servers, bool fleet)
{
    return (struct sim_population){.hours = 1,
                                   .servers = servers,
                                   .fleet = fleet,
                                   .group = {{.role = SIM_SPAM,
                                              .missing = 0.3,
                                              .recipients = 20,
                                              .agents = 20 * servers,
                                              .addresses = 20,
                                              .per_network = 1,
                                              .base = 0x0a0000,
                                              .bears_s = 300}}};
}

const char *const sim_setting_name[SIM_SETTINGS] = {"off", "classic 20 s", "mired"};

struct tarpit_rules sim_rules(enum sim_setting s, const struct tarpit_rules *mired)
{
    struct tarpit_rules r = *mired;
    if (s == SIM_MIRED)
        return r;
    r.time = s == SIM_OFF ? 0 : 20000;
    r.growth = 1;
    r.pace = false;
    r.shield = r.drip = 0;
    r.patience_offences = 0;
    return r;
}
