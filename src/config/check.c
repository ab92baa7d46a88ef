/* Checks that need more than one value, files, and the defaults that depend on the machine.
 *
 * For files it only checks whether they can be read; the processes that use them read them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "config/reader.h"
#include "smtp/address.h"
#include "smtp/address_list.h"

static void check_file(struct reader *r, struct place at, const char *what, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* it may be a pipe */

    if (fd < 0)
        reader_wrong(r, at, "%s \"%s\" cannot be read: %s", what, path, strerror(errno));
    else
        close(fd);
}

void config_check_pem(struct reader *r, struct place at, const char *what, const char *path)
{
    struct stat st;

    check_file(r, at, what, path);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        reader_wrong(r, at, "%s \"%s\" cannot be read: %s", what, path,
                     S_ISDIR(st.st_mode) ? "Is a directory" : "it is not a regular file");
}

/* ---- the main part ---- */

static void check_hostname(struct reader *r)
{
    struct config *c = r->config;
    char name[256], folded[256];

    if (!c->hostname) {
        if (gethostname(name, sizeof name) < 0 || name[0] == '\0')
            strcpy(name, "localhost");
        name[sizeof name - 1] = '\0';
        c->hostname = strdup(name);
    }
    if (!value_domain(c->hostname, folded)) {
        reader_wrong(r, reader_main(r, "hostname"),
                     "hostname = \"%.80s\" is not valid; expected a name such as mx1.example.org",
                     c->hostname);
        return;
    }
    free(c->hostname);
    c->hostname = strdup(folded);
}

static void check_domains(struct reader *r)
{
    struct config *c = r->config;
    struct place at = reader_main(r, "domains");

    if (c->domains.count == 0)
        reader_wrong(r, at,
                     "domains is not set; list what you accept mail for: domains = { "
                     "\"example.org\" }");
    for (size_t i = 0; i < c->domains.count; i++) {
        if (config_fold_domain(r, at, "domains", &c->domains.at[i]) && c->domains.at[i][0] == '.' &&
            !strchr(c->domains.at[i] + 1, '.'))
            reader_wrong(
                r, at,
                "domains: \"%.80s\" would take mail for a whole top-level domain; expected "
                "\".example.org\"",
                c->domains.at[i]);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_traps(struct reader *r)
{
    struct config *c = r->config;

    for (size_t i = 0; i < c->traps.count; i++) {
        const char *text = c->traps.at[i];
        const char *right = NULL, *path = config_list_path(text);
        char folded[ADDRESS_MAX * 4];
        if (path) {
            check_file(r, reader_place(r, SECTION_TARPIT, 0, "traps"), "traps", path);
            continue;
        }
        if (list_address(span_of(text), false, folded, sizeof folded, &right) == 0) {
            reader_wrong(r, reader_place(r, SECTION_TARPIT, 0, "traps"),
                         "traps: \"%.80s\" is not an address; expected %s", text, right);
            continue;
        }
        free(c->traps.at[i]);
        c->traps.at[i] = strdup(folded);
    }
    if (c->traps.count)
        qsort(c->traps.at, c->traps.count, sizeof *c->traps.at, by_text);
}

static void check_observe(struct reader *r)
{
    struct config *c = r->config;
    char folded[256], place[4096 + 16];

    if (c->observe) {
        struct place at = reader_place(r, SECTION_TARPIT, 0, "observe");
        snprintf(place, sizeof place, "%s:%d", at.file ? at.file : c->file, at.line);
        c->observe_place = strdup(place);
    }
    for (size_t i = 0; i < c->observe_domains.count; i++) {
        const char *text = c->observe_domains.at[i];
        if (!value_domain(text, folded) || !config_is_local(c, span_of(folded))) {
            reader_wrong(r, reader_place(r, SECTION_TARPIT, 0, "observe_domains"),
                         "observe_domains: \"%.80s\" is not in `domains`", text);
            continue;
        }
        free(c->observe_domains.at[i]);
        c->observe_domains.at[i] = strdup(folded);
    }
}

static void check_suspect(struct reader *r)
{
    struct config *c = r->config;
    struct place at = reader_main(r, "suspect");
    char right[256];
    struct network n;

    for (size_t i = 0; i < c->suspect.count; i++) {
        const char *text = c->suspect.at[i];
        if (config_list_path(text))
            check_file(r, at, "suspect", config_list_path(text));
        else if (!network_parse(span_of(text), &n))
            reader_wrong(
                r, at, "suspect: \"%.80s\" is not valid; expected %s", text,
                value_network_right(text, "\"file:/etc/mired/suspects\" or a network", right));
    }
}

static void check_tarpit(struct reader *r)
{
    struct tarpit_rules *t = &r->config->tarpit;

    if (t->time > t->max)
        reader_wrong(r,
                     r->section[SECTION_TARPIT][0].line ? reader_place(r, SECTION_TARPIT, 0, "time")
                                                        : (struct place){0},
                     "tarpit: time is longer than max; set max to at least time");
}

/* Two, so that a client's own queries do not wait behind those of strangers; and one for each 16
 * workers, as far as there are cores for them. Beside a million connections of 56 workers on two
 * cores, good mail had 0.98 of its throughput with two clerks, and 0.67 with four. */
static uint32_t clerks_for(uint32_t workers, long cores)
{
    enum { LEAST = 2, WORKERS_EACH = 16, MOST = 16 };
    long n = (workers + WORKERS_EACH - 1) / WORKERS_EACH;

    n = n < cores ? n : cores;
    return (uint32_t)(n < LEAST ? LEAST : n > MOST ? MOST : n);
}

/* Memory for large messages: little enough to be free on a machine that does other things too. */
static uint64_t spool_memory(void)
{
    const uint64_t mega = 1 << 20;
    uint64_t part = memory_of_process() / 64;

    return part < 32 * mega ? 32 * mega : part > 1024 * mega ? 1024 * mega : part;
}

static void set_machine(struct config *c)
{
    struct rlimit files = {1024, 1024};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (c->workers == 0)
        c->workers = cores > 0 ? (uint32_t)cores : 1;
    if (c->clerks == 0)
        c->clerks = clerks_for(c->workers, cores);
    getrlimit(RLIMIT_NOFILE, &files);
    if (c->connections_max == 0)
        c->connections_max = (uint64_t)c->workers * files.rlim_max;
    if (c->spool_memory == 0)
        c->spool_memory = spool_memory();
    if (c->spool_memory > c->spool_max)
        c->spool_memory = c->spool_max;
}

/* A message that the spool cannot hold even when it is empty would be deferred for ever. */
static void check_spool(struct reader *r)
{
    struct config *c = r->config;
    uint64_t max = c->spool_max, most = max - max / CONFIG_SPOOL_SMALL_PART;
    uint64_t small = max < CONFIG_SPOOL_SMALL ? max : CONFIG_SPOOL_SMALL;
    char size[32], spool[32], text[32];

    most = most > small ? most : small;
    if (c->size_max <= most)
        return;
    reader_warn(r, reader_main(r, "spool_max"),
                "spool_max = %s has no room for a message of size_max = %s; mired takes messages "
                "of up to %s only",
                value_size_text((double)max, spool), value_size_text((double)c->size_max, size),
                value_size_text((double)most, text));
    c->size_max = most;
}

/* ---- sections ---- */

static void check_listen(struct reader *r)
{
    struct config *c = r->config;

    if (c->listen_count == 0)
        reader_wrong(r, (struct place){0},
                     "no listen section; expected listen \"0.0.0.0:25\" { } and listen "
                     "\"[::]:25\" { }");
    for (size_t i = 0; i < c->listen_count; i++) {
        struct config_listen *l = &c->listen[i];
        if (r->section[SECTION_LISTEN][i].line == 0)
            continue;
        for (size_t k = 0; k < i; k++)
            if (addr_equal(&c->listen[k].addr, &l->addr) && c->listen[k].addr.port == l->addr.port)
                reader_wrong(r, r->section[SECTION_LISTEN][i],
                             "the same listen is in line %d already",
                             r->section[SECTION_LISTEN][k].line);
        struct place tls = reader_place(r, SECTION_LISTEN, i, "tls");
        if (l->tls != TLS_OFF && c->tls.certificate.count == 0)
            reader_wrong(r, tls,
                         "tls needs a certificate; expected tls { certificate = "
                         "\"/etc/mired/tls.pem\"  key = \"/etc/mired/tls.key\" }");
        if (!reader_is_set(r, SECTION_LISTEN, i, "tls") && c->tls.certificate.count)
            l->tls = TLS_STARTTLS;
        if (l->submission && c->auth_count == 0)
            reader_wrong(r, reader_place(r, SECTION_LISTEN, i, "submission"),
                         "submission = true needs an auth section, because it accepts no mail "
                         "without AUTH; add auth \"file\" { path = \"/etc/mired/passwd\" }");
        if (l->submission && !l->auth)
            reader_wrong(r, reader_place(r, SECTION_LISTEN, i, "auth"),
                         "submission = true and auth = false clash: nobody could send");
    }
}

/* One key turns the repair on, the other names the networks: neither makes sense alone. */
static void check_bare_newline(struct reader *r)
{
    const struct config *c = r->config;
    bool set = c->bare_newline == BARE_NEWLINE_NORMALISE;

    if (set && c->bare_newline_networks.count == 0)
        reader_wrong(r, reader_main(r, "bare_newline"),
                     "bare_newline = \"normalise\" needs bare_newline_networks; expected "
                     "bare_newline_networks = { \"40.92.0.0/15\" }");
    if (!set && c->bare_newline_networks.count)
        reader_wrong(r, reader_main(r, "bare_newline_networks"),
                     "bare_newline_networks does nothing without bare_newline = \"normalise\"");
}

static void check_tls(struct reader *r)
{
    struct config_tls *t = &r->config->tls;
    struct place at = r->section[SECTION_TLS][0];
    char text[4200];

    if (!at.line)
        return;
    snprintf(text, sizeof text, "%s:%d", at.file, at.line);
    t->place = strdup(text);
    if (t->certificate.count == 0)
        reader_wrong(r, at,
                     "tls has no certificate; expected certificate = "
                     "\"/etc/mired/tls.pem\"");
    if (t->key.count && t->key.count != t->certificate.count)
        reader_wrong(r, reader_place(r, SECTION_TLS, 0, "key"),
                     "tls: %zu keys for %zu certificates; expected one each, or no key if the "
                     "certificate's file contains it",
                     t->key.count, t->certificate.count);
    for (size_t i = 0; i < t->certificate.count; i++)
        config_check_pem(r, reader_place(r, SECTION_TLS, 0, "certificate"), "certificate",
                         t->certificate.at[i]);
    for (size_t i = 0; i < t->key.count; i++)
        config_check_pem(r, reader_place(r, SECTION_TLS, 0, "key"), "key", t->key.at[i]);
    if (t->client_ca)
        config_check_pem(r, reader_place(r, SECTION_TLS, 0, "client_ca"), "client_ca",
                         t->client_ca);
}

static void check_socketmap(struct reader *r, const struct config_recipients *d, size_t i)
{
    struct addr a;

    if (!d->path || !d->map)
        reader_wrong(r, r->section[SECTION_RECIPIENTS][i],
                     "recipients \"socketmap\" needs path and map; expected path = "
                     "\"/run/users.sock\"  map = \"users\"");
    else if (d->path[0] != '/' && !(strncmp(d->path, "inet:", 5) == 0 &&
                                    addr_parse_port(span_of(d->path + 5), &a) && a.port))
        reader_wrong(r, reader_place(r, SECTION_RECIPIENTS, i, "path"),
                     "path = \"%.80s\" is not valid; expected \"/run/users.sock\" or "
                     "\"inet:127.0.0.1:4000\"",
                     d->path);
}

static void check_ldap(struct reader *r, const struct config_recipients *d, size_t i)
{
    if (d->url.count == 0 || !d->base || !d->filter)
        reader_wrong(r, r->section[SECTION_RECIPIENTS][i],
                     "recipients \"ldap\" needs url, base and filter; expected url = "
                     "\"ldaps://dc1.example.org\"  base = \"dc=example,dc=org\"  filter = "
                     "\"(mail=%%s)\"");
    else if (!strstr(d->filter, "%s"))
        reader_wrong(r, reader_place(r, SECTION_RECIPIENTS, i, "filter"),
                     "filter has no %%s for the address; expected \"(mail=%%s)\"");
    if (!d->bind_dn != !d->password_file) /* a bind without a password is an anonymous one */
        reader_wrong(
            r, reader_place(r, SECTION_RECIPIENTS, i, d->bind_dn ? "bind_dn" : "password_file"),
            "bind_dn and password_file belong together; expected both or neither");
    for (size_t k = 0; k < d->url.count; k++)
        if (strncmp(d->url.at[k], "ldap", 4) != 0 || !strstr(d->url.at[k], "://"))
            reader_wrong(r, reader_place(r, SECTION_RECIPIENTS, i, "url"),
                         "url = \"%.80s\" is not valid; expected \"ldaps://dc1.example.org\"",
                         d->url.at[k]);
    if (d->password_file)
        check_file(r, reader_place(r, SECTION_RECIPIENTS, i, "password_file"), "password_file",
                   d->password_file);
}

static void check_remote(struct reader *r, const struct config_recipients *d, size_t i)
{
    if (d->kind == RECIPIENTS_SOCKETMAP)
        check_socketmap(r, d, i);
    else if (d->kind == RECIPIENTS_LDAP)
        check_ldap(r, d, i);
}

static void check_recipients(struct reader *r)
{
    struct config *c = r->config;

    if (c->recipients_count == 0)
        reader_warn(r, (struct place){0},
                    "no recipients section: every address of your domains is accepted, and guesses "
                    "are never delayed");
    for (size_t i = 0; i < c->recipients_count; i++) {
        struct config_recipients *d = &c->recipients[i];
        if (r->section[SECTION_RECIPIENTS][i].line == 0)
            continue;
        if (d->kind != RECIPIENTS_FILE) {
            check_remote(r, d, i);
            continue;
        }
        struct place at = reader_place(r, SECTION_RECIPIENTS, i, "path");
        if (!d->path)
            reader_wrong(
                r, at,
                "recipients \"file\" has no path; expected path = \"/etc/mired/recipients\"");
        else
            check_file(r, at, "recipients", d->path);
    }
}

static void check_auth(struct reader *r)
{
    struct config *c = r->config;

    for (size_t i = 0; i < c->auth_count; i++) {
        struct place at = reader_place(r, SECTION_AUTH, i, "path");
        if (r->section[SECTION_AUTH][i].line == 0)
            continue;
        if (c->auth[i].kind == AUTH_BACKEND)
            continue;
        if (c->auth[i].kind == AUTH_DOVECOT) {
            if (!c->auth[i].path)
                reader_wrong(r, at,
                             "auth \"dovecot\" has no path; expected path = "
                             "\"/run/dovecot/auth-client\"");
            continue;
        }
        if (!c->auth[i].path)
            reader_wrong(r, at, "auth \"file\" has no path; expected path = \"/etc/mired/passwd\"");
        else
            check_file(r, at, "auth", c->auth[i].path);
    }
}

static void check_allowance(struct reader *r)
{
    const struct config *c = r->config;

    if (c->allowance.file)
        check_file(r, reader_place(r, SECTION_ALLOWANCE, 0, "file"), "allowance",
                   c->allowance.file);
    if (r->section[SECTION_ALLOWANCE][0].line && c->auth_count == 0)
        reader_warn(r, r->section[SECTION_ALLOWANCE][0],
                    "allowance limits accounts, and there is no auth section: nobody can log in");
}

static void check_backend(struct reader *r)
{
    struct config *c = r->config;

    for (size_t i = 0; i < c->backend_count; i++)
        if (c->backend[i].tls != TLS_OFF && c->backend[i].addr.family == ADDR_UNIX)
            reader_wrong(
                r, reader_place(r, SECTION_BACKEND, i, "tls"),
                "tls = ... is for smtp:// and lmtp:// only; delivery on this machine needs none");
    if (c->backend_count == 0)
        reader_wrong(r, (struct place){0},
                     "no backend section, so mail has nowhere to go; expected backend "
                     "\"smtp://127.0.0.1:10025\" { }, or backend \"maildir\" { } for the built-in "
                     "store");
}

static void check_web(struct reader *r)
{
    struct config *c = r->config;
    struct addr a;

    for (size_t i = 0; i < c->web_listen.count; i++) {
        struct place at = reader_place(r, SECTION_WEB, 0, "listen");
        if (!addr_parse_port(span_of(c->web_listen.at[i]), &a) || !a.port)
            reader_wrong(r, at, "web: listen = \"%.80s\" is not valid; expected \"127.0.0.1:8025\"",
                         c->web_listen.at[i]);
        else if (!addr_is_loopback(&a) && !c->web_token_file)
            reader_wrong(r, at, "web: a listen that is not loopback needs token_file");
    }
    if (c->web_token_file)
        check_file(r, reader_place(r, SECTION_WEB, 0, "token_file"), "token_file",
                   c->web_token_file);
}

void config_check(struct reader *r)
{
    check_hostname(r);
    check_spool(r);
    check_domains(r);
    config_make_routes(r);
    config_check_relay(r);
    check_traps(r);
    check_observe(r);
    check_suspect(r);
    check_tarpit(r);
    config_check_dns(r);
    check_tls(r);
    check_listen(r);
    check_bare_newline(r);
    check_recipients(r);
    check_auth(r);
    check_allowance(r);
    check_backend(r);
    config_check_ports(r);
    check_web(r);
    config_check_fleet(r);
    config_check_routes(r);
    if (r->wrong)
        return;
    set_machine(r->config);
    r->config->tls.minimum = r->config->tls.minimum == 1 ? 13 : 12;
}

const char *config_list_path(const char *entry)
{
    return strncmp(entry, "file:", 5) == 0 ? entry + 5 : NULL;
}

static int compare_trap(const void *wanted, const void *entry)
{
    const struct span *w = wanted;
    const char *text = *(char *const *)entry;
    int order = strncmp(w->at, text, w->len);

    return order ? order : text[w->len] ? -1 : 0;
}

bool config_is_trap(const struct config *c, struct span address)
{
    return c->traps.count && bsearch(&address, c->traps.at, c->traps.count, sizeof *c->traps.at,
                                     compare_trap) != NULL;
}
