/* Passwords in a file; see file.h. Runs in clerks, and blocks, because a good hash takes time. */
#include "auth/file.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "directory/lines.h"
#include "smtp/address_list.h"

enum { PASSWORD_MAX = 512, KIND_MAX = 64, PENDING_MS = 10000 /* see settling */ };

/* Lines with the same hash method and cost. */
struct kind {
    char text[KIND_MAX]; /* "$6$rounds=5000$", "$2b$12$", "SCRAM 4096 16" */
    struct span hash;    /* of the first such line */
    size_t lines;
};

struct file_auth {
    char *path;
    struct lines_mark mark;
    struct buf text;
    struct sipkey decoys;
    struct kind *kind; /* in order of their texts */
    size_t kinds, lines;
    uint32_t logins;            /* lines, whatever their hashes are */
    _Atomic uint32_t *accepted; /* see file_auth_open() */
    bool loaded;
    bool empty;     /* it can be read, and has never had a login */
    bool settling;  /* a newer version is settling, and may have more names */
    bool all_scram; /* and there is one */
};

static const char decoy[] = "$6$mireddecoy$"; /* for a file without lines */

static bool is_scram(struct span hash)
{
    return span_starts_fold(hash, SPAN("{SCRAM-SHA-256}"));
}

static bool read_scram(struct span hash, struct scram_secret *out)
{
    return is_scram(hash) && scram_secret_read(span_after(hash, sizeof "{SCRAM-SHA-256}" - 1), out);
}

/* The hash without "{SCHEME}" (except SCRAM's), because crypt(3) knows the scheme by the hash.
 * Passwd-like files have more fields. */
static struct span hash_of(struct span value)
{
    struct span hash = span_first(value, span_find(value, ':'));
    if (hash.len && hash.at[0] == '{' && !is_scram(hash)) {
        size_t end = span_find(hash, '}');
        hash = span_after(hash, end + (end < hash.len));
    }
    return hash;
}

/* Always reads to the end of the file, so that the time reveals nothing. */
static bool find(const struct file_auth *f, struct span user, struct span *hash, struct span *name)
{
    struct span rest = buf_span(&f->text), line;
    unsigned number = 0;
    bool exact = false, folded = false;

    while (list_next(&rest, &number, &line)) {
        size_t colon = span_find(line, ':');
        struct span has = span_first(line, colon);
        bool same = colon < line.len && span_equal_fold(has, user), very = span_equal(has, user);
        if (same && !exact && (very || !folded)) {
            *hash = hash_of(span_after(line, colon + 1));
            if (name)
                *name = has;
            folded = true;
            exact = very;
        }
    }
    return exact || folded;
}

/* ---- decoys ---- */

/* The part of a crypt(3) setting with method and cost, before the salt. */
static struct span before_salt(struct span hash)
{
    size_t dollars = 0, end = 0;

    if (!hash.len || hash.at[0] != '$') /* DES; BSDi's "_" and a count; or none at all */
        return span_first(hash, hash.len && hash.at[0] == '_' ? 5 : 0);
    for (size_t i = 0; i < hash.len; i++)
        dollars += hash.at[i] == '$';
    /* $id$salt$hash, $id$cost$salt$hash, and bcrypt's $2b$cost$saltandhash */
    size_t wanted = dollars >= 4 || span_starts_fold(hash, SPAN("$2")) ? 3 : 2;
    while (end < hash.len && wanted)
        wanted -= hash.at[end++] == '$';
    if (span_starts_fold(hash, SPAN("$7$"))) /* scrypt: cost and salt in one field */
        end += 11;
    return span_first(hash, end);
}

static void name_kind(struct span hash, char text[KIND_MAX])
{
    struct scram_secret secret;
    struct span setting = before_salt(hash);

    if (read_scram(hash, &secret))
        snprintf(text, KIND_MAX, "SCRAM %u %u", secret.iterations, secret.salt_len);
    else
        snprintf(text, KIND_MAX, "%.*s", (int)setting.len, setting.at ? setting.at : "");
}

static int by_text(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* Adds a line to its kind. False without memory. */
static bool count_line(struct file_auth *f, struct span hash)
{
    struct kind line = {.hash = hash, .lines = 1};

    name_kind(hash, line.text);
    for (size_t i = 0; i < f->kinds; i++)
        if (strcmp(f->kind[i].text, line.text) == 0) {
            f->kind[i].lines++;
            return true;
        }
    struct kind *more = realloc(f->kind, (f->kinds + 1) * sizeof *more);
    if (!more)
        return false;
    f->kind = more;
    f->kind[f->kinds++] = line;
    return true;
}

/* "!" and "*" mark locked accounts in such files. */
static bool is_locked(struct span hash)
{
    return hash.len && (hash.at[0] == '!' || hash.at[0] == '*');
}

static const char *wrong_with_hash(struct span hash)
{
    struct scram_secret secret;
    char setting[CRYPT_OUTPUT_SIZE];

    if (hash.len == 0)
        return "has no hash";
    if (is_locked(hash))
        return NULL;
    if (is_scram(hash))
        return read_scram(hash, &secret) ? NULL : "has a damaged {SCRAM-SHA-256} hash";
    if (hash.len >= sizeof setting)
        return "has a hash that is too long";
    memcpy(setting, hash.at, hash.len);
    setting[hash.len] = '\0';
    /* a DES hash has 13 letters */
    bool old = hash.at[0] != '$' && hash.at[0] != '_' && hash.len != 13;
    return old || crypt_checksalt(setting) == CRYPT_SALT_INVALID
               ? "has no hash that crypt(3) supports; create one with `doveadm pw` or `mkpasswd`"
               : NULL;
}

/* Counts the kinds of lines with a password. */
static void look_over(struct file_auth *f)
{
    struct span rest = buf_span(&f->text), line;
    unsigned number = 0;

    free(f->kind);
    f->kind = NULL;
    f->kinds = f->lines = 0;
    while (list_next(&rest, &number, &line)) {
        size_t colon = span_find(line, ':');
        struct span hash = hash_of(span_after(line, colon + (colon < line.len)));
        if (hash.len && !is_locked(hash) && count_line(f, hash))
            f->lines++;
    }
    if (f->kinds)
        qsort(f->kind, f->kinds, sizeof *f->kind, by_text);
    f->all_scram = f->kinds > 0;
    for (size_t i = 0; i < f->kinds; i++)
        f->all_scram =
            f->all_scram && is_scram(f->kind[i].hash) && strncmp(f->kind[i].text, "SCRAM ", 6) == 0;
}

/* The hash for a name that the file does not have. The kinds divide a range in order, each with a
 * part as long as its number of lines, and the name is a point in it. So when a line is added or
 * removed, few names change their kind. */
static struct span like(const struct file_auth *f, struct span user)
{
    struct siphash h;
    size_t i = 0;

    siphash_start(&h, &f->decoys);
    for (size_t k = 0; k < user.len; k++) {
        char c = user.at[k];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        siphash_add(&h, &c, 1);
    }
    double at = (double)(siphash_end(&h) >> 11) * 0x1p-53 * (double)f->lines;
    while (i + 1 < f->kinds && at >= (double)f->kind[i].lines)
        at -= (double)f->kind[i++].lines;
    return f->kinds ? f->kind[i].hash : span_of(decoy);
}

/* ---- whether lines are right ---- */

enum { TOLD_MAX = 20 };

unsigned file_auth_check_lines(struct span text, const char *path, struct buf *said)
{
    struct span line;
    unsigned number = 0, lines = 0, wrong = 0;

    (void)list_begin(&text); /* a byte order mark is not part of the first name */
    while (list_next(&text, &number, &line)) {
        size_t colon = span_find(line, ':');
        struct span name = span_first(line, colon);
        const char *why = NULL;
        lines++;
        if (colon == line.len) {
            why = "is not NAME:HASH";
            name = (struct span){0}; /* it may be a password */
        } else if (colon == 0) {
            why = "has no name before the colon";
        } else {
            why = wrong_with_hash(hash_of(span_after(line, colon + 1)));
        }
        if (why && ++wrong <= TOLD_MAX)
            buf_addf(said, "%s:%u: %s%.*s%s%s\n", path, number, name.len ? "\"" : "the line",
                     (int)(name.len < 80 ? name.len : 80), name.len ? name.at : "",
                     name.len ? "\" " : " ", why);
    }
    if (lines == 0)
        buf_addf(said, "%s: warning: it has no logins; its logins are deferred (454)\n", path);
    if (wrong > TOLD_MAX)
        buf_addf(said, "%s: %u more lines are invalid\n", path, wrong - TOLD_MAX);
    return wrong;
}

/* ---- reading ---- */

static void forget(struct buf *text)
{
    if (text->at)
        explicit_bzero(text->at, text->len);
    buf_free(text);
}

/* Warns why a version is rejected. The warning has only the number of the line, because the line
 * may have a password. */
static void refuse(const struct file_auth *f, unsigned line, const char *why)
{
    const char *what = f->loaded ? "keeping the previous version"
                                 : "no earlier version, so logins are deferred (454)";

    if (line)
        log_warn("%s:%u: the line %s; %s", f->path, line, why, what);
    else
        log_warn("%s: %s; %s", f->path, why, what);
}

/* Whether all lines of *text are name:hash. *line is the first that is not (0: none, the fault is
 * the whole text); *lines is their number. */
static const char *wrong_form(struct span *text, unsigned *number, uint32_t *lines)
{
    const char *wrong = list_begin(text);
    struct span rest = *text, line;

    *number = 0;
    *lines = 0;
    if (wrong)
        return wrong;
    while (list_next(&rest, number, &line)) {
        size_t colon = span_find(line, ':');
        if (colon == 0 || colon == line.len)
            return "is not a login; expected NAME:HASH";
        ++*lines;
    }
    return NULL;
}

/* Why a version with so many logins is not taken after one that had `before` (0: there was none), or
 * NULL. A file that is emptied has lost what it had, and it may be read for the first time then, by a
 * process that has just been started: its passwords must not be refused as wrong ones. */
static const char *lost(uint32_t before, uint32_t logins)
{
    if (logins == 0)
        return before == 0 ? "it has no logins"
                           : "it has no logins; if that is intended, `mirectl reload "
                             "--accept-shorter` defers them all (454)";
    if (lines_may_shrink(before, logins))
        return NULL;
    return "fewer than half of its logins are left; if that is intended, `mirectl reload "
           "--accept-shorter` accepts it";
}

unsigned file_auth_check_loss(struct span text, const char *path, uint32_t before, struct buf *said)
{
    unsigned number;
    uint32_t logins = 0;
    const char *why = before && !wrong_form(&text, &number, &logins) ? lost(before, logins) : NULL;

    if (why)
        buf_addf(said, "%s: %s\n", path, why);
    return why != NULL;
}

unsigned file_auth_check_form(struct span text, const char *path, struct buf *said)
{
    unsigned number;
    uint32_t lines;
    const char *wrong = wrong_form(&text, &number, &lines);

    if (wrong && number)
        buf_addf(said, "%s:%u: the line %s\n", path, number, wrong);
    else if (wrong)
        buf_addf(said, "%s: %s\n", path, wrong);
    return wrong != NULL;
}

/* How many logins the version had that this process, or one before it, took last. */
static uint32_t logins_before(const struct file_auth *f)
{
    return f->loaded ? f->logins : f->accepted ? atomic_load(f->accepted) : 0;
}

static void reread(struct file_auth *f)
{
    struct buf text = {0};
    uint32_t lines = 0;
    unsigned number = 0;
    int r = lines_read(&f->mark, f->path, &text);
    uint32_t before = logins_before(f);
    struct span sound = buf_span(&text);
    const char *wrong = r < 0 ? lines_error(r) : wrong_form(&sound, &number, &lines);

    if (r == -EAGAIN)
        return;
    f->empty = !wrong && lines == 0 && before == 0;
    if (!wrong && (wrong = lost(before, lines)))
        number = 0;
    if (wrong) {
        refuse(f, number, wrong);
    } else {
        forget(&f->text);
        buf_drop(&text, text.len - (uint32_t)sound.len); /* a mark of UTF-8 */
        f->text = text;
        text = (struct buf){0};
        f->logins = lines;
        f->loaded = true;
        if (f->accepted)
            atomic_store(f->accepted, lines);
        look_over(f);
    }
    forget(&text);
}

/* Compares in a time that does not depend on where the texts differ. */
static bool same(const char *a, const char *b)
{
    size_t n = strlen(a);
    unsigned differ = 0;

    if (n != strlen(b))
        return false;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)a[i] ^ (unsigned char)b[i];
    return differ == 0;
}

static bool matches_crypt(struct span hash, struct span password)
{
    char setting[CRYPT_OUTPUT_SIZE], phrase[PASSWORD_MAX + 1];
    struct crypt_data data = {0};

    if (hash.len >= sizeof setting || password.len > PASSWORD_MAX ||
        memchr(password.at, 0, password.len))
        return false;
    memcpy(setting, hash.at, hash.len);
    setting[hash.len] = '\0';
    memcpy(phrase, password.at, password.len);
    phrase[password.len] = '\0';
    const char *made = crypt_rn(phrase, setting, &data, sizeof data);
    bool equal = made && same(made, setting);
    explicit_bzero(phrase, sizeof phrase);
    explicit_bzero(&data, sizeof data);
    return equal;
}

static bool matches(struct span hash, struct span password)
{
    struct scram_secret secret;

    if (!is_scram(hash))
        return matches_crypt(hash, password);
    return password.len <= PASSWORD_MAX && read_scram(hash, &secret) &&
           scram_secret_is_of(&secret, password);
}

struct file_auth *file_auth_open(const char *path, const struct sipkey *decoys,
                                 _Atomic uint32_t *accepted)
{
    struct file_auth *f = calloc(1, sizeof *f);

    if (f && !(f->path = strdup(path))) {
        free(f);
        f = NULL;
    }
    if (f) {
        f->decoys = *decoys;
        f->accepted = accepted;
    }
    if (f && lines_look_now(&f->mark, f->path, clock_wall_ms()) == LINES_CHANGED)
        reread(f); /* read it now: if the file breaks later, there is an earlier version */
    return f;
}

void file_auth_close(struct file_auth *f)
{
    if (!f)
        return;
    forget(&f->text);
    free(f->kind);
    free(f->path);
    free(f);
}

static bool is_there(struct file_auth *f, uint64_t now_ms)
{
    enum lines_look look = lines_look(&f->mark, f->path, now_ms, clock_wall_ms());

    if (look == LINES_CHANGED)
        reread(f);
    f->settling = look == LINES_SETTLING && now_ms < f->mark.changed_ms + PENDING_MS;
    return f->loaded;
}

bool file_auth_is_empty(const struct file_auth *f)
{
    return f->empty;
}

enum answer_result file_auth_check(struct file_auth *f, struct span user, struct span password,
                                   uint64_t now_ms, struct span *name)
{
    struct span hash = {0};

    if (!is_there(f, now_ms))
        return ANSWER_LATER;
    /* The name of a locked account is treated like one that the file does not have: the time of the
     * answer must not tell which it is. */
    bool known = user.len > 0 && find(f, user, &hash, name) && hash.len && !is_locked(hash);
    bool right = matches(known ? hash : like(f, user), password);
    return known && right ? ANSWER_YES : f->settling ? ANSWER_LATER : ANSWER_NO;
}

bool file_auth_is_settling(const struct file_auth *f)
{
    return f->settling;
}

size_t file_auth_lines(const struct file_auth *f)
{
    return f->lines;
}

size_t file_auth_kinds(const struct file_auth *f)
{
    return f->kinds;
}

bool file_auth_has_scram(struct file_auth *f, uint64_t now_ms)
{
    return is_there(f, now_ms) && f->all_scram;
}

enum answer_result file_auth_secret(struct file_auth *f, struct span user, uint64_t now_ms,
                                    struct scram_secret *out, struct span *name)
{
    struct span hash;

    if (!is_there(f, now_ms))
        return ANSWER_LATER;
    struct span other = like(f, user); /* in any case, so that the time does not tell */
    if (find(f, user, &hash, name) && read_scram(hash, out))
        return ANSWER_YES;
    return read_scram(other, out) ? ANSWER_NO : ANSWER_LATER;
}
