/* `mired -t`; see check.h.
 *
 * Each line is checked by the function that the reader of the file uses too. Files are opened
 * without waiting (a named pipe has no end) and with the rights of mired's user, because root can
 * read files that a clerk cannot. */
#include "master/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/file.h"
#include "base/sandbox.h"
#include "config/config.h"
#include "directory/list_file.h"
#include "master/certificates.h"
#include "master/generation_share.h"
#include "master/privileges.h"
#include "master/users.h"
#include "tls/server.h"

enum { FILE_MAX = 1 << 30 };

struct check {
    const struct config *config;
    struct identity identity;
    struct buf *said;
    unsigned wrong;
    bool quick;
};

/* Reports wrong lines of `text`, up to a few, and returns how many there are. */
typedef unsigned check_lines(struct span text, const char *path, struct buf *said);

/* ---- the user ---- */

static bool check_user(struct check *c)
{
    const char *user = c->config->user;
    int error = identity_find(&c->identity, user);

    if (geteuid() != 0) { /* the user does not change, so this matters to root only */
        if (!getpwnam(user))
            buf_addf(c->said, "%s: warning: no user \"%s\"; mired started as root needs it\n",
                     c->config->file, user);
        return true;
    }
    if (!error)
        return true;
    if (error == -ENOENT)
        buf_addf(c->said,
                 "%s: no user \"%s\"; create it (adduser --system --group %s), or set `user` to an "
                 "existing one\n",
                 c->config->file, user, user);
    else
        buf_addf(c->said, "%s: cannot look up the user \"%s\": %s\n", c->config->file, user,
                 strerrordesc_np(-error));
    c->wrong++;
    return false;
}

/* ---- files ---- */

static void file_wrong(struct check *c, const char *path, const char *why)
{
    buf_addf(c->said, "%s: %s\n", path, why);
    c->wrong++;
}

static int read_text(int fd, struct buf *text)
{
    for (;;) {
        char *to = text->len < FILE_MAX ? buf_room(text, 65536) : NULL;
        if (!to)
            return -EFBIG;
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        text->len += (uint32_t)n;
    }
}

static void cannot_read(struct check *c, const char *path, int error)
{
    char why[256];

    snprintf(why, sizeof why, "cannot be read by the user %s: %s", c->identity.name,
             strerrordesc_np(-error));
    file_wrong(c, path, why);
}

/* Reads the whole file with the rights of mired's user. False if that fails, which has then been
 * reported. */
static bool read_file(struct check *c, const char *path, struct buf *text)
{
    struct borrowed b;
    struct stat st;
    int error = privileges_borrow(&b, &c->identity);
    int fd = error ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (!error && fd < 0)
        error = -errno;
    privileges_return(&b);
    bool plain = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (plain)
        error = read_text(fd, text);
    if (fd >= 0)
        close(fd);
    if (error)
        cannot_read(c, path, error);
    else if (!plain)
        file_wrong(c, path, "is not a regular file");
    return !error && plain;
}

/* What no text file may contain, whatever its lines are. */
static const char *misread(struct span text)
{
    if (span_starts_fold(text, SPAN("\xff\xfe")) || span_starts_fold(text, SPAN("\xfe\xff")))
        return "is UTF-16; save it as UTF-8";
    if (span_find(text, '\0') < text.len)
        return "contains NUL bytes: it is incomplete or not text";
    return NULL;
}

static void check_file(struct check *c, const char *path, check_lines *lines)
{
    struct buf text = {0};

    if (path && read_file(c, path, &text)) {
        const char *why = misread(buf_span(&text));
        if (why)
            file_wrong(c, path, why);
        else
            c->wrong += lines(buf_span(&text), path, c->said);
    }
    if (text.at)
        explicit_bzero(text.at, text.len);
    buf_free(&text);
}

/* A password or token is the first line of its file. */
static unsigned check_secret(struct span text, const char *path, struct buf *said)
{
    size_t len = span_find(text, '\n');

    if (len > 0 && text.at[0] != '\r')
        return 0;
    buf_addf(said, "%s:1: the first line is empty\n", path);
    return 1;
}

/* The files of `suspect`, `traps` and `allowance`. */
static void check_listed(struct check *c)
{
    const struct config *config = c->config;

    for (size_t i = 0; i < config->suspect.count; i++)
        check_file(c, config_list_path(config->suspect.at[i]), list_check_suspects);
    for (size_t i = 0; i < config->traps.count; i++)
        check_file(c, config_list_path(config->traps.at[i]), list_check_traps);
    check_file(c, config->allowance.file, list_check_allowances);
}

static void check_files(struct check *c)
{
    const struct config *config = c->config;

    for (size_t i = 0; i < config->recipients_count; i++) {
        check_file(c, config->recipients[i].password_file, check_secret);
        if (config->recipients[i].kind == RECIPIENTS_FILE)
            check_file(c, config->recipients[i].path, list_check_recipients);
    }
    for (size_t i = 0; i < config->auth_count; i++)
        if (config->auth[i].kind == AUTH_FILE)
            check_file(c, config->auth[i].path, file_auth_check_lines);
    check_listed(c);
    check_file(c, config->web_token_file, check_secret);
    check_file(c, config->fleet.password_file, check_secret);
}

/* ---- all checks ---- */

static void check_certificates(struct check *c)
{
    struct tls_server *tls;

    if (certificates_open(&c->config->tls, &tls, c->said) < 0)
        c->wrong++;
    tls_server_close(tls);
    unsigned expired = certificates_check_dates(&c->config->tls, c->said);
    if (!c->quick)
        c->wrong += expired;
}

/* Which processes cannot have a user of their own. */
static void check_users(struct check *c)
{
    struct buf lines = {0};
    struct users users;

    users_find(&users, &c->identity);
    (void)users_for(&users, c->config, &lines);
    for (struct span rest = buf_span(&lines); rest.len;) {
        size_t len = span_find(rest, '\n');
        buf_addf(c->said, "%s: warning: %.*s\n", c->config->file, (int)len, rest.at);
        rest = span_after(rest, len < rest.len ? len + 1 : len);
    }
    buf_free(&lines);
}

static void check_sandbox(struct check *c)
{
    const char *lack;
    unsigned at = 0;
    bool grave;

    if (!sandbox_is_built())
        return;
    if (!c->config->sandbox)
        buf_addf(c->said,
                 "%s: warning: `sandbox` is off; a process that is taken over can do what "
                 "its user can\n",
                 c->config->file);
    while (c->config->sandbox && (lack = sandbox_lack(sandbox_available(), &at, &grave)))
        if (grave)
            buf_addf(c->said, "%s: warning: %s\n", c->config->file, lack);
}

unsigned check_all(const struct config *config, bool quick, struct buf *said)
{
    struct check c = {.config = config, .said = said, .quick = quick};
    bool known = check_user(&c);

    check_certificates(&c);
    check_sandbox(&c);
    if (known)
        check_users(&c);
    if (known && !quick)
        check_files(&c);
    return c.wrong;
}

static void check_loss(struct check *c, const char *path, uint32_t before)
{
    struct buf text = {0};

    if (before && read_file(c, path, &text))
        c->wrong += file_auth_check_loss(buf_span(&text), path, before, c->said);
    if (text.at)
        explicit_bzero(text.at, text.len);
    buf_free(&text);
}

/* A file of passwords at a reload. */
static void check_logins(struct check *c, const char *path, const struct generation *before)
{
    unsigned wrong = c->wrong;

    check_file(c, path, file_auth_check_form);
    if (path && before && c->wrong == wrong)
        check_loss(c, path, generation_logins(before, path));
}

unsigned check_lists(const struct config *config, const struct generation *before, struct buf *said)
{
    struct check c = {.config = config, .said = said};

    if (!check_user(&c))
        return c.wrong;
    for (size_t i = 0; i < config->recipients_count; i++)
        if (config->recipients[i].kind == RECIPIENTS_FILE)
            check_file(&c, config->recipients[i].path, list_check_recipients);
    for (size_t i = 0; i < config->auth_count; i++)
        if (config->auth[i].kind == AUTH_FILE)
            check_logins(&c, config->auth[i].path, before);
    check_listed(&c);
    return c.wrong;
}
