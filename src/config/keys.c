/* The tables of keys; see keys.h. What a value means stands in docs/configuration.md. */
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
static const char *const proxies[] = {"off", "v1", "v2", NULL};
static const char *const bare_newlines[] = {"refuse", "normalise", NULL};
static const char *const nuls[] = {"refuse", "allow", NULL};
static const char *const freezes[] = {"off", "auto", NULL};

#define YEAR (366 * 86400e3)

const struct key keys_main[] = {
    {"hostname", KEY_TEXT, AT(config, hostname)},
    {"domains", KEY_TEXTS, AT(config, domains)},
    {"workers", KEY_COUNT, AT(config, workers), 0, 1024},
    {"clerks", KEY_COUNT, AT(config, clerks), 1, 256},
    {"lookups", KEY_COUNT, AT(config, lookups), 1, 4096},
    {"user", KEY_TEXT, AT(config, user)},
    {"state", KEY_TEXT, AT(config, state)},
    {"run", KEY_TEXT, AT(config, run)},
    {"log", KEY_CHOICE, AT(config, log), .choices = logs},
    {"log_level", KEY_CHOICE, AT(config, log_level), .choices = levels},
    {"size_max", KEY_SIZE, AT(config, size_max), 1024, 4e9},
    {"connections_max", KEY_LONG_COUNT, AT(config, connections_max), 0, 1e8},
    {"spool_max", KEY_SIZE, AT(config, spool_max), 1024, 1e15},
    {"data_rate", KEY_SIZE, AT(config, data_rate), 0, 1e9},
    {"timeout", KEY_DURATION, AT(config, timeout_ms), 1000, 3600e3},
    {"settle", KEY_DURATION, AT(config, partial_ms), 60e3, 30 * 86400e3},
    {"exempt", KEY_TEXTS, AT(config, exempt_names)}, /* sorted into networks and names by check.c */
    {"relay", KEY_NETWORKS, AT(config, relay)},
    {"suspect", KEY_TEXTS, AT(config, suspect)},
    {"resolver", KEY_TEXTS, AT(config, resolver)},
    {"recipient_delimiter", KEY_TEXT, AT(config, recipient_delimiter)},
    {"routing_addresses", KEY_BOOL, AT(config, routing_addresses)},
    {"received_login", KEY_BOOL, AT(config, received_login)},
    {"bare_newline", KEY_CHOICE, AT(config, bare_newline), .choices = bare_newlines},
    {"bare_newline_networks", KEY_NETWORKS, AT(config, bare_newline_networks)},
    {"nul", KEY_CHOICE, AT(config, nul), .choices = nuls},
    {"balance", KEY_CHOICE, AT(config, balance), .choices = balances},
    END};

const struct key keys_listen[] = {
    {"submission", KEY_BOOL, AT(config_listen, submission)},
    {"auth", KEY_BOOL, AT(config_listen, auth)},
    {"chunking", KEY_BOOL, AT(config_listen, chunking)},
    {"tls", KEY_CHOICE, AT(config_listen, tls), .choices = tls_listen},
    {"proxy_protocol", KEY_NETWORKS, AT(config_listen, proxy_protocol)},
    END};

const struct key keys_tls[] = {
    {"certificate", KEY_TEXTS, AT(config_tls, certificate)},
    {"key", KEY_TEXTS, AT(config_tls, key)},
    {"minimum", KEY_CHOICE, AT(config_tls, minimum), .choices = tls_minimum},
    {"client_ca", KEY_TEXT, AT(config_tls, client_ca)},
    END};

const struct key keys_tarpit[] = {
    {"observe", KEY_BOOL, AT(config, observe)},
    {"observe_domains", KEY_TEXTS, AT(config, observe_domains)},
    {"time", KEY_DURATION, AT(config, tarpit.time), 0, 285e3},
    {"growth", KEY_NUMBER, AT(config, tarpit.growth), 1, 10},
    {"max", KEY_DURATION, AT(config, tarpit.max), 0, 285e3},
    {"pace", KEY_BOOL, AT(config, tarpit.pace)},
    {"pace_after", KEY_NUMBER, AT(config, tarpit.pace_after), 0, 1e6},
    {"shield", KEY_NUMBER, AT(config, tarpit.shield), 0, 1e6},
    {"good_ratio", KEY_NUMBER, AT(config, tarpit.good_ratio), 0, 1e6},
    {"correspondents", KEY_BOOL, AT(config, tarpit.correspondents)},
    {"half_life", KEY_DURATION, AT(config, tarpit.half_life), 1000, YEAR},
    {"good_half_life", KEY_DURATION, AT(config, tarpit.good_half_life), 1000, YEAR},
    {"network_share", KEY_NUMBER, AT(config, tarpit.network_share), 0, 1e6},
    {"drip", KEY_DURATION, AT(config, tarpit.drip), 0, 285e3},
    {"patience_offences", KEY_NUMBER, AT(config, tarpit.patience_offences), 0, 1e6},
    {"null_sender_max", KEY_DURATION, AT(config, tarpit.null_sender_max), 0, 285e3},
    {"traps", KEY_TEXTS, AT(config, traps)},
    {"suspect_offences", KEY_NUMBER, AT(config, tarpit.suspect_offences), 0, 1e6},
    {"held_max", KEY_AUTO, AT(config, tarpit.held_max), 1, 1e8},
    {"held_per_client", KEY_LONG_COUNT, AT(config, tarpit.held_per_client), 1, 60000},
    {"reserve", KEY_SHARE, AT(config, tarpit.reserve), 0, 0.9},
    {"freeze", KEY_CHOICE, AT(config, tarpit.freeze), .choices = freezes},
    {"freeze_after", KEY_DURATION, AT(config, tarpit.freeze_after), 0, 285e3},
    {"ledger_size", KEY_SIZE, AT(config, ledger_size), 65536, 1e13},
    END};

const struct key keys_recipients[] = {
    {"path", KEY_TEXT, AT(config_recipients, path)},
    {"map", KEY_TEXT, AT(config_recipients, map)},
    {"url", KEY_TEXTS, AT(config_recipients, url)},
    {"base", KEY_TEXT, AT(config_recipients, base)},
    {"filter", KEY_TEXT, AT(config_recipients, filter)},
    {"bind_dn", KEY_TEXT, AT(config_recipients, bind_dn)},
    {"password_file", KEY_TEXT, AT(config_recipients, password_file)},
    {"start_tls", KEY_BOOL, AT(config_recipients, start_tls)},
    {"cache", KEY_DURATION, AT(config_recipients, cache_ms), 0, 30 * 86400e3},
    {"negative_cache", KEY_DURATION, AT(config_recipients, negative_cache_ms), 0, 30 * 86400e3},
    END};

const struct key keys_auth[] = {{"path", KEY_TEXT, AT(config_auth, path)}, END};

const struct key keys_backend[] = {
    {"xclient", KEY_BOOL, AT(config_backend, xclient)},
    {"xforward", KEY_BOOL, AT(config_backend, xforward)},
    {"proxy_protocol", KEY_CHOICE, AT(config_backend, proxy_protocol), .choices = proxies},
    {"tls", KEY_CHOICE, AT(config_backend, tls), .choices = tls_backend},
    {"connections", KEY_COUNT, AT(config_backend, connections), 1, 10000},
    END};

const struct key keys_dnsbl[] = {{"weight", KEY_NUMBER, AT(config_list, weight), 0, 1000},
                                 {"reply", KEY_TEXTS, AT(config_list, reply)},
                                 {"test", KEY_BOOL, AT(config_list, test)},
                                 END};

const struct key keys_dnswl[] = {
    {"reply", KEY_TEXTS, AT(config_list, reply)}, {"test", KEY_BOOL, AT(config_list, test)}, END};

const struct key keys_web[] = {{"listen", KEY_TEXTS, AT(config, web_listen)},
                               {"token_file", KEY_TEXT, AT(config, web_token_file)},
                               {"names", KEY_TEXTS, AT(config, web_names)},
                               END};

struct fleet_place { /* only its shape is used, until there is a fleet */
    char *redis, *name;
};
const struct key keys_fleet[] = {
    {"redis", KEY_TEXT, AT(fleet_place, redis)}, {"name", KEY_TEXT, AT(fleet_place, name)}, END};

const struct section sections[SECTION_COUNT] = {
    [SECTION_LISTEN] = {"listen", keys_listen, true, NULL},
    [SECTION_TLS] = {"tls", keys_tls, false, NULL},
    [SECTION_TARPIT] = {"tarpit", keys_tarpit, false, NULL},
    [SECTION_RECIPIENTS] = {"recipients", keys_recipients, true, NULL},
    [SECTION_AUTH] = {"auth", keys_auth, true, NULL},
    [SECTION_BACKEND] = {"backend", keys_backend, true, NULL},
    [SECTION_DNSBL] = {"dnsbl", keys_dnsbl, true, NULL},
    [SECTION_DNSWL] = {"dnswl", keys_dnswl, true, NULL},
    [SECTION_WEB] = {"web", keys_web, false, NULL},
    [SECTION_FLEET] = {"fleet", keys_fleet, false, "a fleet"},
};
