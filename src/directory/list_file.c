/* A file of lines as a hash table over its own octets; a new table is made when the file changes.
 *
 * The text stays in one block; the table has the offset of each line. list_file.h says which
 * versions are accepted. Runs in clerks and workers, and blocks while it reads. */
#include "directory/list_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/siphash.h"
#include "directory/lines.h"
#include "smtp/address.h"
#include "smtp/address_list.h"

enum {
    PENDING_MS = 10000, /* how long LATER replaces NO while a newer version settles */
    LATE_MS = 60000,    /* a version that changes for so long is never finished, perhaps */
};

struct table {
    struct buf text; /* folded lines, each "address\n" */
    uint32_t *slot;  /* 1 + offset into text; 0: empty */
    uint32_t slots;  /* a power of two, at least twice the lines */
    uint32_t lines;
};

struct list_file {
    const struct list_kind *kind;
    char *path, *copy; /* copy NULL: none is used */
    bool keeps_copy;
    struct lines_mark mark;
    struct table table;
    struct sipkey key;
    uint64_t changing_ms; /* monotonic: since when a newer version has been settling; 0: none is */
    bool changing;        /* a newer version is settling */
    bool loaded;          /* a version has been accepted */
    bool kept;            /* ... and the newest was not */
    bool late;            /* a warning says that the newer version goes on changing */
    bool confirmed;       /* the next version may be shorter */
};

static void table_free(struct table *t)
{
    buf_free(&t->text);
    free(t->slot);
    *t = (struct table){0};
}

static struct span line_at(const struct table *t, uint32_t slot)
{
    assert(t->text.at); /* a slot in use has its line in the text */
    struct span rest = {t->text.at + slot - 1, t->text.len - (slot - 1)};
    return span_first(rest, span_find(rest, '\n'));
}

static uint32_t *find(const struct table *t, const struct sipkey *key, struct span line)
{
    uint64_t i = siphash(key, line.at, line.len);

    for (;; i++) {
        uint32_t *slot = &t->slot[i & (t->slots - 1)];
        if (*slot == 0 || span_equal(line_at(t, *slot), line))
            return slot;
    }
}

/* Why a version is rejected. */
struct refusal {
    unsigned line; /* 0: not because of one line */
    char text[320];
};

static int fold_all(const struct list_kind *kind, struct table *t, struct span text,
                    struct refusal *why)
{
    char folded[ADDRESS_MAX * 4];
    const char *right = list_begin(&text);
    struct span line;
    unsigned number = 0;

    if (right) {
        snprintf(why->text, sizeof why->text, "%s", right);
        return -EINVAL;
    }
    while (list_next(&text, &number, &line)) {
        char other[LIST_RIGHT] = "";
        size_t len = kind->fold(line, folded, sizeof folded - 1, other);
        if (len == 0) {
            why->line = number;
            snprintf(why->text, sizeof why->text, "\"%.*s\" %s; expected %s",
                     (int)(line.len < 80 ? line.len : 80), line.at, kind->wrong, other);
            return -EINVAL;
        }
        folded[len] = '\n';
        if (buf_add(&t->text, folded, len + 1) < 0)
            return -ENOMEM;
        t->lines++;
    }
    return 0;
}

enum { TOLD_MAX = 20 };

unsigned list_check(const struct list_kind *kind, struct span text, const char *path,
                    struct buf *said)
{
    char folded[ADDRESS_MAX * 4];
    const char *right = list_begin(&text);
    unsigned number = 0, wrong = 0, good = 0;
    struct span line;

    if (right) {
        buf_addf(said, "%s: %s\n", path, right);
        return 1;
    }
    while (list_next(&text, &number, &line)) {
        char other[LIST_RIGHT] = "";
        if (kind->fold(line, folded, sizeof folded - 1, other)) {
            good++;
        } else if (++wrong <= TOLD_MAX) {
            buf_addf(said, "%s:%u: \"", path, number);
            for (size_t i = 0; i < line.len && i < 80; i++)
                buf_addf(said, "%c", line.at[i] >= ' ' && line.at[i] < 127 ? line.at[i] : '?');
            buf_addf(said, "\" %s; expected %s\n", kind->wrong, other);
        }
    }
    if (wrong > TOLD_MAX)
        buf_addf(said, "%s: %u more lines are invalid\n", path, wrong - TOLD_MAX);
    if (!wrong && !good)
        buf_addf(said, "%s: warning: it has no %s\n", path, kind->entry);
    return wrong;
}

static int index_all(struct table *t, const struct sipkey *key)
{
    t->slots = 16;
    while (t->slots < t->lines * 2)
        t->slots *= 2;
    t->slot = calloc(t->slots, sizeof *t->slot);
    if (!t->slot)
        return -ENOMEM;
    for (uint32_t at = 0; at < t->text.len;) {
        struct span line = line_at(t, at + 1);
        *find(t, key, line) = at + 1;
        at += (uint32_t)line.len + 1;
    }
    return 0;
}

/* Makes a table of the file at `path`. Returns 0, -EAGAIN (it is being written), or -errno and the
 * reason. */
static int read_table(struct list_file *f, struct lines_mark *mark, const char *path,
                      struct table *fresh, struct refusal *why)
{
    struct buf text = {0};
    int r = lines_read(mark, path, &text);

    if (r < 0)
        snprintf(why->text, sizeof why->text, "%s", lines_error(r));
    else if ((r = fold_all(f->kind, fresh, buf_span(&text), why)) == 0)
        r = index_all(fresh, &f->key);
    buf_free(&text);
    if (r < 0)
        table_free(fresh);
    return r;
}

/* ---- the copy ---- */

void list_copies(const struct list_kind *kind, const char *state, char *path, size_t room)
{
    snprintf(path, room, "%s/%s", state, kind->folder);
}

static char *copy_path(const struct list_kind *kind, const char *state, const char *path)
{
    static const struct sipkey key = {0}; /* for a name only */
    char folder[PATH_MAX], *made = NULL;

    if (!state)
        return NULL;
    list_copies(kind, state, folder, sizeof folder);
    if (asprintf(&made, "%s/%s-%016llx", folder, kind->name,
                 (unsigned long long)siphash(&key, path, strlen(path))) < 0)
        return NULL;
    return made;
}

/* Whether the copy is already of this version, because another clerk has made it. */
static bool is_copied(struct list_file *f, struct span wanted)
{
    struct lines_mark mark = {0};
    struct buf text = {0};
    bool equal = lines_read(&mark, f->copy, &text) == 0 && span_equal(buf_span(&text), wanted);

    buf_free(&text);
    return equal;
}

static int write_whole(int fd, struct span text)
{
    while (text.len) {
        ssize_t n = write(fd, text.at, text.len);
        if (n < 0 && errno != EINTR)
            return -errno;
        text = span_after(text, n > 0 ? (size_t)n : 0);
    }
    return fdatasync(fd) < 0 ? -errno : 0;
}

static bool is_shared(const char *file)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    struct stat st;

    if (!slash || (size_t)(slash - file) >= sizeof folder)
        return false;
    memcpy(folder, file, (size_t)(slash - file));
    folder[slash - file] = '\0';
    return stat(folder, &st) == 0 && st.st_mode & S_ISGID && !(st.st_mode & 07);
}

static int write_copy(const char *to, const char *part, struct span text)
{
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = fd < 0 ? -errno : write_whole(fd, text);

    /* In a folder that several of mired's users share (master/users.c), each reads what another
     * wrote; nobody else can enter it. */
    if (fd >= 0 && is_shared(to) && fchmod(fd, 0644) < 0 && !error)
        error = -errno;

    if (fd >= 0)
        close(fd);
    if (!error && rename(part, to) < 0)
        error = -errno;
    if (error && fd >= 0)
        unlink(part);
    return error;
}

static void keep_copy(struct list_file *f)
{
    struct buf text = {0};
    char part[4200];

    if (!f->copy || !f->keeps_copy)
        return;
    snprintf(part, sizeof part, "%s.%ld", f->copy, (long)getpid());
    int error = buf_addf(&text, "# mired's copy of %s, which it falls back on\n", f->path);
    if (!error)
        error = buf_add_span(&text, buf_span(&f->table.text));
    if (!error && !is_copied(f, buf_span(&text)))
        error = write_copy(f->copy, part, buf_span(&text));
    if (error)
        log_warn("%s cannot be written: %s; after a restart there is no earlier version of %s",
                 f->copy, strerror(-error), f->path);
    buf_free(&text);
}

static void load_copy(struct list_file *f)
{
    struct lines_mark mark = {0};
    struct table copy = {0};
    struct refusal why = {0};

    if (f->copy && read_table(f, &mark, f->copy, &copy, &why) == 0 && copy.lines > 0) {
        f->table = copy;
        f->loaded = true;
    } else {
        table_free(&copy);
    }
}

/* ---- versions ---- */

static void take(struct list_file *f, struct table *fresh)
{
    if (f->loaded && f->mark.looked_ms)
        log_info("%s has changed: %u %s", f->path, fresh->lines, f->kind->name);
    table_free(&f->table);
    f->table = *fresh;
    f->loaded = true;
    f->kept = f->confirmed = false;
    keep_copy(f);
}

static void refuse(struct list_file *f, const struct refusal *why)
{
    char where[16] = "";

    if (why->line)
        snprintf(where, sizeof where, ":%u", why->line);
    if (f->loaded)
        log_warn("%s%s: %s; keeping the previous version", f->path, where, why->text);
    else
        log_error("%s%s: %s; no earlier version, so %s", f->path, where, why->text,
                  f->kind->without);
    f->kept = true;
}

/* Whether less than half of the addresses are left, or none at all: a failed export. */
static bool has_shrunk(const struct list_file *f, const struct table *fresh, struct refusal *why)
{
    if (f->confirmed ||
        (f->loaded ? lines_may_shrink(f->table.lines, fresh->lines) : fresh->lines > 0))
        return false;
    if (f->loaded)
        snprintf(why->text, sizeof why->text,
                 "%u %s after %u; if that is intended, `mirectl reload --accept-shorter` takes it",
                 fresh->lines, f->kind->entries, f->table.lines);
    else
        snprintf(why->text, sizeof why->text,
                 "it has no %s; if that is intended, `mirectl reload --accept-shorter` takes it",
                 f->kind->entry);
    return true;
}

/* Reads the file; true if the version is accepted. */
static bool reread(struct list_file *f)
{
    struct table fresh = {0};
    struct refusal why = {0};
    int r = read_table(f, &f->mark, f->path, &fresh, &why);

    f->changing = r == -EAGAIN;
    if (f->changing)
        return false;
    if (r == 0 && !has_shrunk(f, &fresh, &why)) {
        take(f, &fresh);
        return true;
    }
    refuse(f, &why);
    table_free(&fresh);
    return false;
}

struct list_file *list_file_open(const struct list_kind *kind, const char *path, const char *state,
                                 enum list_copy how, bool confirmed, uint64_t wall_ms)
{
    struct list_file *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->kind = kind;
    f->path = strdup(path);
    f->copy = copy_path(kind, state, path);
    f->keeps_copy = how == LIST_KEEP_COPY;
    /* Users of a site choose what their addresses are, and so lines of its list. */
    if (!f->path || getrandom(&f->key, sizeof f->key, 0) != sizeof f->key) {
        list_file_close(f);
        return NULL;
    }
    f->confirmed = confirmed;
    load_copy(f);
    enum lines_look look = lines_look_now(&f->mark, f->path, wall_ms);
    f->changing = look == LINES_SETTLING;
    if (look == LINES_CHANGED)
        (void)reread(f); /* read it now: if the file breaks later, there is an earlier version */
    return f;
}

void list_file_close(struct list_file *f)
{
    if (!f)
        return;
    table_free(&f->table);
    free(f->copy);
    free(f->path);
    free(f);
}

/* A log that somebody took for a list, or an export without end. */
static void tell_late(struct list_file *f, uint64_t now_ms)
{
    bool late = f->changing && now_ms >= f->mark.changed_ms + LATE_MS;

    if (late && !f->late)
        log_warn("%s has been changing for a minute; %s until it has been still for %u s", f->path,
                 f->loaded ? "keeping the previous version" : f->kind->without,
                 LINES_SETTLE_MS / 1000);
    f->late = late;
}

bool list_file_look(struct list_file *f, uint64_t now_ms, uint64_t wall_ms)
{
    enum lines_look look = lines_look(&f->mark, f->path, now_ms, wall_ms);
    bool taken = false;

    f->changing = look == LINES_SETTLING;
    if (look == LINES_CHANGED)
        taken = reread(f);
    f->changing_ms = f->changing ? f->mark.changed_ms : 0;
    tell_late(f, now_ms);
    return taken;
}

enum answer_result list_file_has(struct list_file *f, struct span entry, uint64_t now_ms,
                                 uint64_t wall_ms)
{
    list_file_look(f, now_ms, wall_ms);
    if (!f->loaded)
        return ANSWER_LATER;
    if (*find(&f->table, &f->key, entry))
        return ANSWER_YES;
    return f->changing_ms && now_ms < f->changing_ms + PENDING_MS ? ANSWER_LATER : ANSWER_NO;
}

struct span list_file_entries(const struct list_file *f)
{
    return f->loaded ? buf_span(&f->table.text) : (struct span){0};
}

bool list_file_keeps(const struct list_file *f)
{
    return f->kept || f->late || f->mark.warned;
}

bool list_file_loaded(const struct list_file *f)
{
    return f->loaded;
}

bool list_file_is_changing(const struct list_file *f)
{
    return f->changing;
}
