/* Passwords in a file; see file.h. Runs in clerks, blocking: a good hash takes its time. */
#include "auth/file.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "directory/lines.h"

enum { PASSWORD_MAX = 512 };

struct file_auth {
    char *path;
    struct lines_mark mark;
    struct buf text;
    char decoy[CRYPT_OUTPUT_SIZE]; /* a hash of the file's own kind, for names that are not in it */
    bool loaded;
};

/* Without "{SCHEME}": crypt(3) knows the scheme by the hash. */
static struct span hash_of(struct span value)
{
    if (value.len && value.at[0] == '{') {
        size_t end = span_find(value, '}');
        value = span_after(value, end + (end < value.len));
    }
    return span_first(value, span_find(value, ':')); /* passwd-like files have more fields */
}

static bool find(const struct file_auth *f, struct span user, struct span *hash)
{
    struct span rest = buf_span(&f->text), line;
    unsigned number = 0;
    bool found = false;

    while (lines_next(&rest, &number, &line)) { /* to the end, found or not */
        size_t colon = span_find(line, ':');
        if (!found && colon < line.len && span_equal(span_first(line, colon), user)) {
            *hash = hash_of(span_after(line, colon + 1));
            found = true;
        }
    }
    return found;
}

/* Another hash of the scheme and cost that the file's first line has. */
static void make_decoy(struct file_auth *f)
{
    struct span rest = buf_span(&f->text), line;
    unsigned number = 0;

    strcpy(f->decoy, "$6$mireddecoy$");
    if (!lines_next(&rest, &number, &line))
        return;
    size_t colon = span_find(line, ':');
    struct span hash = hash_of(span_after(line, colon + (colon < line.len)));
    if (hash.len && hash.len < sizeof f->decoy) {
        memcpy(f->decoy, hash.at, hash.len);
        f->decoy[hash.len] = '\0';
    }
}

static void reread(struct file_auth *f)
{
    struct buf text = {0}, old = f->text;
    int r = lines_read(&f->mark, f->path, &text);

    if (r < 0) {
        log_warn("%s: %s; what was read before is used on", f->path, strerror(-r));
        return;
    }
    f->text = text;
    f->loaded = true;
    if (old.at)
        explicit_bzero(old.at, old.len);
    buf_free(&old);
    make_decoy(f);
}

/* Equal, in a time that tells nothing of where they differ. */
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

static bool matches(struct span hash, struct span password)
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

struct file_auth *file_auth_open(const char *path)
{
    struct file_auth *f = calloc(1, sizeof *f);

    if (f && !(f->path = strdup(path))) {
        free(f);
        f = NULL;
    }
    if (f &&
        lines_changed(&f->mark, f->path, 0)) /* now: what breaks later leaves something to use on */
        reread(f);
    if (f)
        f->mark.looked_ms = 0;
    return f;
}

void file_auth_close(struct file_auth *f)
{
    if (!f)
        return;
    if (f->text.at)
        explicit_bzero(f->text.at, f->text.len);
    buf_free(&f->text);
    free(f->path);
    free(f);
}

enum answer_result file_auth_check(struct file_auth *f, struct span user, struct span password,
                                   uint64_t now_ms)
{
    struct span hash = {0};

    if (lines_changed(&f->mark, f->path, now_ms))
        reread(f);
    if (!f->loaded)
        return ANSWER_LATER;
    bool known = user.len > 0 && find(f, user, &hash);
    if (!known)
        hash = span_of(f->decoy);
    bool right = matches(hash, password);
    return known && right ? ANSWER_YES : ANSWER_NO;
}
