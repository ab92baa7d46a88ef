/* Checks the fleet's section: the URLs of its servers, and its names. It removes the passwords from
 * the URLs, so that no other part of mired can show them. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/reader.h"

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379, SERVERS_MOST = 64, NAME_MOST = 64 };

static char *copy(struct span s)
{
    return s.len ? strndup(s.at, s.len) : NULL;
}

static int hex(char c)
{
    const char *all = "0123456789abcdef", *at = c ? strchr(all, c | 0x20) : NULL;
    return at ? (int)(at - all) : -1;
}

/* A part of a URL with its %XX resolved (RFC 3986 2.1); NULL: an escape is none, or empty. */
static char *unescape(struct span s)
{
    char *text = copy(s), *to = text;

    for (size_t i = 0; text && i < s.len; i++) {
        char c = s.at[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex(s.at[i + 1]) : -1;
            int low = i + 2 < s.len ? hex(s.at[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                free(text);
                return NULL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        *to++ = c;
    }
    if (to)
        *to = '\0';
    return text;
}

/* "host", "host:port", "[ip6]:port". */
static bool read_place(struct span s, struct config_redis *server)
{
    uint64_t port;
    size_t end = span_find(s, ':');

    if (s.len && s.at[0] == '[') {
        end = span_find(s, ']');
        if (end >= s.len)
            return false;
        server->host = copy((struct span){s.at + 1, end - 1});
        end++;
    } else {
        server->host = copy(span_first(s, end));
    }
    if (end < s.len) {
        if (s.at[end] != ':' || !span_number(span_after(s, end + 1), &port) || port == 0 ||
            port > 65535)
            return false;
        server->port = (uint16_t)port;
    }
    return server->host != NULL;
}

static bool read_user(struct span s, struct config_redis *server)
{
    size_t colon = span_find(s, ':');
    struct span user = span_first(s, colon), password = span_after(s, colon + 1);

    if (user.len && !(server->user = unescape(user)))
        return false;
    return password.len == 0 || (server->password = unescape(password)) != NULL;
}

static bool read_url(struct span s, struct config_redis *server)
{
    uint64_t db;

    if (span_starts_fold(s, SPAN("rediss://"))) {
        server->tls = true;
        s = span_after(s, 9);
    } else if (span_starts_fold(s, SPAN("redis://"))) {
        s = span_after(s, 8);
    } else {
        return false;
    }
    size_t slash = span_find(s, '/');
    struct span path = span_after(s, slash + 1);
    s = span_first(s, slash);
    if (path.len) {
        if (!span_number(path, &db) || db > 65535)
            return false;
        server->db = (uint32_t)db;
    }
    size_t at = s.len;
    while (at > 0 && s.at[at - 1] != '@')
        at--;
    if (at > 0 && !read_user(span_first(s, at - 1), server))
        return false;
    return read_place(span_after(s, at), server);
}

/* As written, without the password. */
static void hide(char *url, const struct config_redis *server)
{
    char *begin = strstr(url, "://") + 3, *at = strrchr(begin, '@');
    char *colon = at ? memchr(begin, ':', (size_t)(at - begin)) : NULL;

    if (!server->password || !colon)
        return;
    size_t before = strlen(url);
    memmove(colon, at, strlen(at) + 1);
    explicit_bzero(url + strlen(url), before - strlen(url));
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= NAME_MOST &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static void check_names(struct reader *r, struct config_fleet *f)
{
    if (!f->member && r->config->hostname)
        f->member = strdup(r->config->hostname);
    if (!is_name(f->name))
        reader_wrong(r, reader_place(r, SECTION_FLEET, 0, "name"),
                     "fleet: name = \"%.80s\" is not valid; expected letters, digits, \".\", \"_\" "
                     "and \"-\"",
                     f->name);
    if (f->member && !is_name(f->member))
        reader_wrong(r, reader_place(r, SECTION_FLEET, 0, "member"),
                     "fleet: member = \"%.80s\" is not valid; expected letters, digits, \".\", "
                     "\"_\" and \"-\"",
                     f->member);
}

static void check_readable(struct reader *r, const char *key, const char *path)
{
    if (path && access(path, R_OK) < 0)
        reader_wrong(r, reader_place(r, SECTION_FLEET, 0, key),
                     "fleet: %s %s cannot be read; expected a file that mired may read", key, path);
}

void config_check_fleet(struct reader *r)
{
    struct config_fleet *f = &r->config->fleet;

    if (f->redis.count == 0) {
        if (r->section[SECTION_FLEET][0].line)
            reader_wrong(r, r->section[SECTION_FLEET][0],
                         "fleet has no redis; expected redis = { \"redis://10.0.0.9:6379/0\" }");
        return;
    }
    struct place at = reader_place(r, SECTION_FLEET, 0, "redis");
    f->server = calloc(f->redis.count, sizeof *f->server);
    if (!f->server || f->redis.count > SERVERS_MOST) {
        reader_wrong(r, at, "fleet: redis has too many servers; expected up to %d", SERVERS_MOST);
        f->redis.count = f->server ? f->redis.count : 0;
        return;
    }
    for (size_t i = 0; i < f->redis.count; i++) {
        struct config_redis *server = &f->server[i];
        server->port = f->mode == FLEET_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
        server->tls = f->tls;
        if (!read_url(span_of(f->redis.at[i]), server)) {
            reader_wrong(r, at,
                         "fleet: a server of redis is not valid; expected "
                         "\"redis://user:password@host:6379/0\"");
            continue;
        }
        hide(f->redis.at[i], server);
        if (f->mode == FLEET_CLUSTER && server->db != 0)
            reader_wrong(r, at,
                         "fleet: a cluster has no database but 0; expected \"%s\" to end "
                         "with the port",
                         f->redis.at[i]);
    }
    if (f->mode == FLEET_SINGLE && f->redis.count > 1)
        reader_wrong(r, at,
                     "fleet: redis has %zu servers; expected one, or mode = \"sentinel\" or "
                     "\"cluster\"",
                     f->redis.count);
    check_names(r, f);
    check_readable(r, "password_file", f->password_file);
    if (f->ca)
        config_check_pem(r, reader_place(r, SECTION_FLEET, 0, "ca"), "fleet: ca", f->ca);
}

void config_forget_fleet(struct config *c)
{
    for (size_t i = 0; c->fleet.server && i < c->fleet.redis.count; i++)
        if (c->fleet.server[i].password)
            explicit_bzero(c->fleet.server[i].password, strlen(c->fleet.server[i].password));
}

void config_free_fleet(struct config *c)
{
    config_forget_fleet(c);
    for (size_t i = 0; c->fleet.server && i < c->fleet.redis.count; i++) {
        free(c->fleet.server[i].host);
        free(c->fleet.server[i].user);
        free(c->fleet.server[i].password);
    }
    free(c->fleet.server);
    c->fleet.server = NULL;
}
