/* The rows of the schema; see keys.h. docs/configuration.md explains the values. */
#include "config/keys.h"

#define AT(type, field) offsetof(struct type, field)
#define END                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }

static const char *const logs[] = {"text", "json", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const balances[] = {"first", "round_robin", NULL};
static const char *const tls_listen[] = {"off", "starttls", "implicit", NULL};
static const char *const tls_backend[] = {"off", "starttls", "implicit", "verified", NULL};
static const char *const tls_minimum[] = {"1.2", "1.3", NULL};
static const char *const chunkings[] = {"auto", "true", "false", NULL};
static const char *const proxies[] = {"off", "v1", "v2", NULL};
static const char *const bare_newlines[] = {"refuse", "normalise", NULL};
static const char *const nuls[] = {"refuse", "allow", NULL};
static const char *const stolens[] = {"tell", "refuse", NULL};
static const char *const fleet_modes[] = {"single", "sentinel", "cluster", NULL};
static const char *const freezes[] = {"off", "auto", NULL};

#define YEAR (366 * 86400e3) /* ms */
#define MB   1048576.0
#define TB   (MB * MB)

const struct key keys_main[] = {
    {"hostname", KEY_TEXT, AT(config, hostname), .otherwise = "the machine's", .unit = "name",
     .help = "mired's name in its greeting, EHLO and Received:"},
    {"domains", KEY_TEXTS, AT(config, domains), .otherwise = "needed", .unit = "names",
     .help = "domains that mired takes mail for"},
    {"workers", KEY_COUNT, AT(config, workers), 0, 1024, .preset = "0", .unit = "processes",
     .help = "processes that speak SMTP; 0 is one a core"},
    {"clerks", KEY_COUNT, AT(config, clerks), 0, 256, .preset = "0", .unit = "processes",
     .help = "processes that look up recipients and check passwords; 0 is two, or more beside more "
             "than 32 workers"},
    {"lookups", KEY_COUNT, AT(config, lookups), 1, 4096, .preset = "32", .unit = "queries",
     .help = "queries that directories get at the same time, from all clerks together"},
    {"user", KEY_TEXT, AT(config, user), .preset = "mired", .unit = "name", .restart = true,
     .help = "the user that mired becomes when root starts it"},
    {"state", KEY_TEXT, AT(config, state), .preset = "/var/lib/mired", .unit = "folder",
     .restart = true, .help = "ledger, frozen holds, spool and built-in mailboxes"},
    {"run", KEY_TEXT, AT(config, run), .preset = "/run/mired", .unit = "folder", .restart = true,
     .help = "the control socket"},
    {"sandbox", KEY_BOOL, AT(config, sandbox), .preset = "true",
     .help = "confine each process by seccomp, Landlock and chroot"},
    {"log", KEY_CHOICE, AT(config, log), .choices = logs, .preset = "text",
     .help = "form of the log on standard error"},
    {"log_level", KEY_CHOICE, AT(config, log_level), .choices = levels, .preset = "info",
     .help = "the least important lines that the log has"},
    {"size_max", KEY_SIZE, AT(config, size_max), 1024, 3815.0 * MB, .preset = "50M",
     .help = "largest message"},
    {"connections_max", KEY_LONG_COUNT, AT(config, connections_max), 0, 1e8, .preset = "0",
     .unit = "connections",
     .help = "connections of all workers together; 0 is what the limit of descriptors allows"},
    {"spool_max", KEY_SIZE, AT(config, spool_max), 1024, 1024.0 * TB, .preset = "1G",
     .help = "all messages that are being received"},
    {"spool_memory", KEY_SIZE, AT(config, spool_memory), 0, 1024.0 * TB, .preset = "0",
     .help = "those of them that are in memory; 0 is a 64th of it, within 32M and 1G"},
    {"data_rate", KEY_SIZE, AT(config, data_rate), 0, 1024.0 * MB, .preset = "100",
     .unit = "a second", .help = "bytes that a client must send of a message; 0 is any"},
    {"timeout", KEY_DURATION, AT(config, timeout_ms), 1000, 3600e3, .preset = "5m",
     .help = "how long a client may be idle"},
    {"settle", KEY_DURATION, AT(config, partial_ms), 60e3, 30 * 86400e3, .preset = "1d",
     .restart = true, .help = "how long mixed answers are remembered"},
    {"exempt", KEY_TEXTS, AT(config, exempt_names), .unit = "networks, names",
     .help = "networks and names that are never delayed"},
    {"relay", KEY_NETWORKS, AT(config, relay),
     .help = "your own machines, which may send to any domain without a login"},
    {"suspect", KEY_TEXTS, AT(config, suspect), .unit = "networks, files",
     .help = "networks that start with suspect_offences, or files of them"},
    {"resolver", KEY_TEXTS, AT(config, resolver), .otherwise = "the system's", .unit = "addresses",
     .help = "DNS servers for look-ups of clients"},
    {"recipient_delimiter", KEY_TEXT, AT(config, recipient_delimiter), .preset = "+",
     .help = "what begins the tag of an address"},
    {"routing_addresses", KEY_BOOL, AT(config, routing_addresses), .preset = "false",
     .help = "take addresses of ours that a server may send on to another domain"},
    {"received_login", KEY_BOOL, AT(config, received_login), .preset = "false",
     .help = "name the account in Received:"},
    {"bare_newline", KEY_CHOICE, AT(config, bare_newline), .choices = bare_newlines,
     .preset = "refuse", .help = "what happens to a message with a bare LF"},
    {"bare_newline_networks", KEY_NETWORKS, AT(config, bare_newline_networks),
     .help = "clients that may send bare LFs in chunks"},
    {"nul", KEY_CHOICE, AT(config, nul), .choices = nuls, .preset = "refuse",
     .help = "what happens to a message with a NUL"},
    {"balance", KEY_CHOICE, AT(config, balance), .choices = balances, .preset = "first",
     .help = "which of several backends gets a message"},
    END};

const struct key keys_listen[] = {
    {"submission", KEY_BOOL, AT(config_listen, submission), .preset = "false",
     .help = "take no mail without AUTH"},
    {"auth", KEY_BOOL, AT(config_listen, auth), .preset = "true", .help = "offer AUTH"},
    {"chunking", KEY_BOOL, AT(config_listen, chunking), .preset = "true",
     .help = "offer CHUNKING and take BDAT"},
    {"tls", KEY_CHOICE, AT(config_listen, tls), .choices = tls_listen, .preset = "off",
     .otherwise = "`\"starttls\"` where a certificate is set, else `\"off\"`",
     .help = "TLS of this listener"},
    {"proxy_protocol", KEY_NETWORKS, AT(config_listen, proxy_protocol),
     .help = "balancers whose PROXY header is believed"},
    END};

const struct key keys_tls[] = {
    {"certificate", KEY_TEXTS, AT(config_tls, certificate), .unit = "files",
     .help = "certificates, each with its chain"},
    {"key", KEY_TEXTS, AT(config_tls, key), .otherwise = "in the certificate's file",
     .unit = "files", .help = "keys, as many as certificates"},
    {"minimum", KEY_CHOICE, AT(config_tls, minimum), .choices = tls_minimum, .preset = "1.2",
     .help = "the oldest version of TLS"},
    {"client_ca", KEY_TEXT, AT(config_tls, client_ca), .unit = "file",
     .help = "authorities whose clients are exempt"},
    END};

const struct key keys_tarpit[] = {
    {"observe", KEY_BOOL, AT(config, observe), .preset = "false",
     .help = "R20: judge and book, delay nothing"},
    {"observe_domains", KEY_TEXTS, AT(config, observe_domains), .unit = "names",
     .help = "R20: the same for these of domains only"},
    {"time", KEY_DURATION, AT(config, tarpit.time), 0, 285e3, .preset = "20s",
     .help = "R1: the first hold; 0 is off"},
    {"growth", KEY_NUMBER, AT(config, tarpit.growth), 1, 10, .preset = "1.5",
     .help = "R1: factor from offence to offence"},
    {"max", KEY_DURATION, AT(config, tarpit.max), 0, 285e3, .preset = "90s",
     .help = "R1: the longest hold"},
    {"pace", KEY_BOOL, AT(config, tarpit.pace), .preset = "true",
     .help = "R3, R4: one reply after the other, over all connections"},
    {"pace_after", KEY_NUMBER, AT(config, tarpit.pace_after), 0, 1e6, .preset = "3",
     .unit = "live offences", .help = "R4: from here on each verdict takes a turn"},
    {"shield", KEY_NUMBER, AT(config, tarpit.shield), 0, 1e6, .preset = "50",
     .unit = "live offences", .help = "R7: from here on there are no verdicts; 0 is off"},
    {"good_ratio", KEY_NUMBER, AT(config, tarpit.good_ratio), 0, 1e6, .preset = "10",
     .unit = "mailboxes delivered to", .help = "R8: what pays for an offence; 0 is off"},
    {"correspondents", KEY_BOOL, AT(config, tarpit.correspondents), .preset = "true",
     .help = "R21: good mail counts for the sender's domain too"},
    {"half_life", KEY_DURATION, AT(config, tarpit.half_life), 1000, YEAR, .preset = "1h",
     .help = "R9: half-life of offences"},
    {"good_half_life", KEY_DURATION, AT(config, tarpit.good_half_life), 1000, YEAR, .preset = "7d",
     .help = "R9: half-life of good mail"},
    {"network_share", KEY_NUMBER, AT(config, tarpit.network_share), 0, 1e6, .preset = "16",
     .unit = "live offences", .help = "R10: what makes a whole network bad; 0 is off"},
    {"drip", KEY_DURATION, AT(config, tarpit.drip), 0, 285e3, .preset = "20s",
     .help = "R11: pause between continuation lines; 0 is off"},
    {"patience_offences", KEY_NUMBER, AT(config, tarpit.patience_offences), 0, 1e6, .preset = "5",
     .unit = "live offences", .help = "R12, R13: below it, mired respects patience; 0 is off"},
    {"null_sender_max", KEY_DURATION, AT(config, tarpit.null_sender_max), 0, 285e3, .preset = "5s",
     .help = "R13: the longest hold for MAIL FROM:<>"},
    {"login_tries", KEY_COUNT, AT(config, tarpit.login_tries), 0, 1000, .preset = "6",
     .unit = "passwords an hour",
     .help = "R14: checked out of turn where the account has logged in before; 0 is off"},
    {"traps", KEY_TEXTS, AT(config, traps), .unit = "addresses, files",
     .help = "R15: addresses that only harvesters know, or files of them"},
    {"suspect_offences", KEY_NUMBER, AT(config, tarpit.suspect_offences), 0, 1e6, .preset = "3",
     .unit = "live offences", .help = "R16: what a suspect client starts with"},
    {"greet", KEY_DURATION, AT(config, tarpit.greet), 0, 30e3, .preset = "0",
     .help = "R22: the pause before the greeting of an unknown client; 0 is off"},
    {"greet_pass", KEY_DURATION, AT(config, tarpit.greet_pass), 3600e3, 90 * 86400e3,
     .preset = "30d", .help = "R22: how long a client that has waited for its greeting is known"},
    {"retry_after", KEY_DURATION, AT(config, tarpit.retry_after), 0, 6 * 3600e3, .preset = "4m",
     .help = "R26: when a message that was deferred counts as retried; 0 is off"},
    {"held_max", KEY_AUTO, AT(config, tarpit.held_max), 1, 1e8, .preset = "auto",
     .unit = "connections", .help = "R17: held connections of all workers together"},
    {"held_per_client", KEY_LONG_COUNT, AT(config, tarpit.held_per_client), 1, 60000,
     .preset = "1000", .unit = "connections", .help = "R17: held connections of one client"},
    {"reserve", KEY_SHARE, AT(config, tarpit.reserve), 0, 0.9, .preset = "10%",
     .help = "R17: part of the connections that clients in debt cannot have"},
    {"freeze", KEY_CHOICE, AT(config, tarpit.freeze), .choices = freezes, .preset = "auto",
     .help = "R18: keep long holds without a socket"},
    {"freeze_after", KEY_DURATION, AT(config, tarpit.freeze_after), 0, 285e3, .preset = "1s",
     .help = "R18: how long a hold must last to be frozen"},
    {"ledger_size", KEY_SIZE, AT(config, ledger_size), 65536, 16.0 * TB, .preset = "64M",
     .restart = true, .help = "memory of clients, networks and accounts, 64 bytes each"},
    END};

const struct key keys_recipients[] = {
    {"domains", KEY_TEXTS, AT(config_recipients, domains), .otherwise = "all others",
     .unit = "names", .help = "the domains whose recipients it knows"},
    {"path", KEY_TEXT, AT(config_recipients, path), .otherwise = "needed", .unit = "file, socket",
     .help = "the file, or the socketmap's socket"},
    {"map", KEY_TEXT, AT(config_recipients, map), .unit = "name",
     .help = "socketmap: the map's name"},
    {"url", KEY_TEXTS, AT(config_recipients, url), .unit = "URLs", .help = "ldap: servers"},
    {"base", KEY_TEXT, AT(config_recipients, base), .unit = "DN",
     .help = "ldap: where the search begins"},
    {"filter", KEY_TEXT, AT(config_recipients, filter), .unit = "filter",
     .help = "ldap: with %s for the address"},
    {"bind_dn", KEY_TEXT, AT(config_recipients, bind_dn), .otherwise = "anonymous", .unit = "DN",
     .help = "ldap: the name to bind with"},
    {"password_file", KEY_TEXT, AT(config_recipients, password_file), .unit = "file",
     .help = "ldap: its first line is the password"},
    {"start_tls", KEY_BOOL, AT(config_recipients, start_tls), .preset = "false",
     .help = "ldap: encrypt with StartTLS"},
    {"cache", KEY_DURATION, AT(config_recipients, cache_ms), 0, 30 * 86400e3, .preset = "1h",
     .help = "how long \"exists\" is remembered"},
    {"negative_cache", KEY_DURATION, AT(config_recipients, negative_cache_ms), 0, 30 * 86400e3,
     .preset = "5m", .help = "how long \"unknown\" is remembered"},
    END};

const struct key keys_auth[] = {{"domains", KEY_TEXTS, AT(config_auth, domains),
                                 .otherwise = "all others", .unit = "names",
                                 .help = "the domains whose logins it checks"},
                                {"path", KEY_TEXT, AT(config_auth, path), .otherwise = "needed",
                                 .unit = "file, socket", .help = "the file, or Dovecot's socket"},
                                END};

const struct key keys_allowance[] = {
    {"recipients_per_hour", KEY_COUNT, AT(config, allowance.per_hour), 0, 1e6, .preset = "0",
     .unit = "recipients", .help = "R23: recipients that an account may write to; 0 is no limit"},
    {"recipients_per_day", KEY_COUNT, AT(config, allowance.per_day), 0, 1e6, .preset = "0",
     .unit = "recipients", .help = "R23: the same for a day"},
    {"file", KEY_TEXT, AT(config, allowance.file), .unit = "file",
     .help = "R23: accounts with other allowances"},
    {"stolen", KEY_CHOICE, AT(config, allowance.stolen), .choices = stolens, .preset = "tell",
     .help = "R23: what happens to new networks of an account that looks stolen"},
    END};

const struct key keys_backend[] = {
    {"domains", KEY_TEXTS, AT(config_backend, domains), .otherwise = "all others", .unit = "names",
     .help = "the domains whose mail it gets"},
    {"xclient", KEY_BOOL, AT(config_backend, xclient), .preset = "false",
     .help = "tell the backend who the client is (XCLIENT)"},
    {"xforward", KEY_BOOL, AT(config_backend, xforward), .preset = "false",
     .help = "the same for its log only (XFORWARD)"},
    {"chunking", KEY_CHOICE, AT(config_backend, chunking), .choices = chunkings, .preset = "auto",
     .help = "send messages with BDAT where the backend offers CHUNKING; auto: over LMTP"},
    {"proxy_protocol", KEY_CHOICE, AT(config_backend, proxy_protocol), .choices = proxies,
     .preset = "off", .help = "tell the backend who the client is in a PROXY header"},
    {"tls", KEY_CHOICE, AT(config_backend, tls), .choices = tls_backend, .preset = "off",
     .help = "TLS to the backend"},
    {"connections", KEY_COUNT, AT(config_backend, connections), 1, 10000, .preset = "64",
     .unit = "connections", .help = "connections at most, all workers together"},
    END};

const struct key keys_dnsbl[] = {
    {"weight", KEY_NUMBER, AT(config_list, weight), 0, 1000, .otherwise = "`suspect_offences`",
     .unit = "live offences", .help = "what a listed client starts with"},
    {"reply", KEY_TEXTS, AT(config_list, reply), .otherwise = "any of 127.0.0.0/8",
     .unit = "patterns", .help = "answers that count"},
    {"test", KEY_BOOL, AT(config_list, test), .preset = "true",
     .help = "the list has the test entries of RFC 5782"},
    END};

const struct key keys_dnswl[] = {{"reply", KEY_TEXTS, AT(config_list, reply),
                                  .otherwise = "any of 127.0.0.0/8", .unit = "patterns",
                                  .help = "answers that count"},
                                 {"test", KEY_BOOL, AT(config_list, test), .preset = "true",
                                  .help = "the list has the test entries of RFC 5782"},
                                 END};

const struct key keys_web[] = {{"listen", KEY_TEXTS, AT(config, web_listen), .unit = "addresses",
                                .help = "addresses of the page and of /metrics"},
                               {"token_file", KEY_TEXT, AT(config, web_token_file), .unit = "file",
                                .help = "the token, which allows changes on the page"},
                               {"names", KEY_TEXTS, AT(config, web_names), .unit = "names",
                                .help = "further names that Host may have"},
                               END};

const struct key keys_fleet[] = {
    {"redis", KEY_TEXTS, AT(config_fleet, redis), .unit = "URLs",
     .help = "R25: Redis; several URLs for a cluster or for Sentinels"},
    {"mode", KEY_CHOICE, AT(config_fleet, mode), .choices = fleet_modes, .preset = "single",
     .help = "what answers at redis: one server, Sentinels, or nodes of a cluster"},
    {"name", KEY_TEXT, AT(config_fleet, name), .preset = "mired", .unit = "name",
     .help = "the fleet's name, and its master's name among Sentinels"},
    {"member", KEY_TEXT, AT(config_fleet, member), .otherwise = "`hostname`", .unit = "name",
     .help = "this mired's name in the fleet; no other member has it"},
    {"password_file", KEY_TEXT, AT(config_fleet, password_file), .unit = "file",
     .help = "its first line is the password for redis"},
    {"tls", KEY_BOOL, AT(config_fleet, tls), .preset = "false",
     .help = "encrypt, and check the server's certificate"},
    {"ca", KEY_TEXT, AT(config_fleet, ca), .otherwise = "the system's", .unit = "file",
     .help = "authorities for that certificate"},
    END};

const struct section sections[SECTION_COUNT] = {
    [SECTION_LISTEN] = {"listen", keys_listen, true, NULL},
    [SECTION_TLS] = {"tls", keys_tls, false, NULL},
    [SECTION_TARPIT] = {"tarpit", keys_tarpit, false, NULL},
    [SECTION_RECIPIENTS] = {"recipients", keys_recipients, true, NULL},
    [SECTION_AUTH] = {"auth", keys_auth, true, NULL},
    [SECTION_ALLOWANCE] = {"allowance", keys_allowance, false, NULL},
    [SECTION_BACKEND] = {"backend", keys_backend, true, NULL},
    [SECTION_DNSBL] = {"dnsbl", keys_dnsbl, true, NULL},
    [SECTION_DNSWL] = {"dnswl", keys_dnswl, true, NULL},
    [SECTION_WEB] = {"web", keys_web, false, NULL},
    [SECTION_FLEET] = {"fleet", keys_fleet, false, NULL},
};
