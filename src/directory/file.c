/* The `file` directory: a hash table of the file's own octets, made anew when the file changes.
 *
 * The text stays in one block; the table holds where each line begins. A file that cannot be read,
 * or has a line that is no address, changes nothing: the old table answers on, and a warning names
 * the line. */
#include "directory/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/siphash.h"
#include "directory/lines.h"
#include "smtp/address.h"

struct table {
    struct buf text; /* folded lines, each "address\n" */
    uint32_t *slot;  /* 1 + offset into text; 0: empty */
    uint32_t slots;  /* a power of two, at least twice the lines */
    uint32_t lines;
};

struct file_directory {
    char *path;
    struct lines_mark mark;
    struct table table;
    struct sipkey key;
    bool loaded; /* has been read whole at least once */
};

static void table_free(struct table *t)
{
    buf_free(&t->text);
    free(t->slot);
    *t = (struct table){0};
}

static struct span line_at(const struct table *t, uint32_t slot)
{
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

/* A line as directories know addresses: "@domain" or a folded mailbox. 0: it is neither. */
static size_t fold_line(struct span line, char *out, size_t room)
{
    size_t sign = line.len;

    while (sign > 0 && line.at[sign - 1] != '@')
        sign--;
    if (sign == 0)
        return 0;
    struct span domain = span_after(line, sign);
    if (sign > 1) {
        struct mailbox box = {span_first(line, sign - 1), domain};
        return mailbox_fold(&box, out, room);
    }
    struct mailbox any = {SPAN("x"), domain}; /* folds the domain as it is folded in addresses */
    size_t len = mailbox_fold(&any, out, room);
    if (len == 0)
        return 0;
    memmove(out, out + 1, len);
    return len - 1;
}

static int fold_all(struct table *t, struct span text, const char *path)
{
    char folded[ADDRESS_MAX * 4];
    struct span line;
    unsigned number = 0;

    while (lines_next(&text, &number, &line)) {
        size_t len = fold_line(line, folded, sizeof folded - 1);
        if (len == 0) {
            log_warn("%s:%u: no address: \"%.*s\"; what was read before is used on", path, number,
                     (int)(line.len < 80 ? line.len : 80), line.at);
            return -EINVAL;
        }
        folded[len] = '\n';
        if (buf_add(&t->text, folded, len + 1) < 0)
            return -ENOMEM;
        t->lines++;
    }
    return 0;
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

static void reread(struct file_directory *f)
{
    struct buf text = {0};
    struct table fresh = {0};
    int r = lines_read(&f->mark, f->path, &text);

    if (r < 0)
        log_warn("%s: %s; what was read before is used on", f->path, strerror(-r));
    else if ((r = fold_all(&fresh, buf_span(&text), f->path)) == 0)
        r = index_all(&fresh, &f->key);
    buf_free(&text);
    if (r < 0) {
        table_free(&fresh);
        return;
    }
    if (f->loaded)
        log_info("%s has changed: %u recipients now", f->path, fresh.lines);
    table_free(&f->table);
    f->table = fresh;
    f->loaded = true;
}

struct file_directory *file_directory_open(const char *path)
{
    struct file_directory *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->path = strdup(path);
    if (!f->path) {
        free(f);
        return NULL;
    }
    if (lines_changed(&f->mark, f->path, 0)) /* now: what breaks later leaves something to use on */
        reread(f);
    f->mark.looked_ms = 0;
    return f;
}

void file_directory_close(struct file_directory *f)
{
    if (!f)
        return;
    table_free(&f->table);
    free(f->path);
    free(f);
}

enum answer_result file_directory_has(struct file_directory *f, struct span line, uint64_t now_ms)
{
    if (lines_changed(&f->mark, f->path, now_ms))
        reread(f);
    if (!f->loaded)
        return ANSWER_LATER;
    return *find(&f->table, &f->key, line) ? ANSWER_YES : ANSWER_NO;
}
