/* A file with one entry a line: recipients, traps, suspects, allowances. "#" begins a comment. Private to the
 * rooms that read such files.
 *
 * A version counts as a whole: one with a wrong line, or with less than half of the entries of the
 * version before, changes nothing, and one warning names file and line. The version that was taken
 * last is copied into the state folder, where a restart beside a broken file finds it. A file that
 * is being written is read when it has settled (lines.h). Look-ups take constant time. */
#ifndef MIRED_DIRECTORY_LIST_FILE_H
#define MIRED_DIRECTORY_LIST_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "query/query.h"

enum { LIST_RIGHT = 128 /* octets of what is expected */ };

struct list_kind {
    const char *name;    /* "recipients"; begins the name of the copy */
    const char *wrong;   /* of a line: "is not an address" */
    const char *entry;   /* "address"; "addresses" of several */
    const char *entries; /* ... */
    const char *without; /* what it means that there is no version: "its recipients are deferred" */
    /* The entry of a line as it is looked up, without a line's end, and its length; or 0 and what
     * would be right. */
    size_t (*fold)(struct span line, char *out, size_t room, char right[LIST_RIGHT]);
};

extern const struct list_kind list_recipients; /* addresses, and "@domain" for all of one */
extern const struct list_kind list_traps;      /* addresses */
extern const struct list_kind list_allowances; /* "name 500 5000"; see allowances.h */
extern const struct list_kind list_suspects;   /* networks; a comment may follow on the line */

/* Appends to *said what is wrong with the lines of a file's text, at most some of them, and a
 * warning when there is no entry in it. Returns how many lines are wrong: one is enough to refuse
 * the file. */
unsigned list_check(const struct list_kind *kind, struct span text, const char *path,
                    struct buf *said);
/* The same for one kind each; see master/check.c. */
unsigned list_check_recipients(struct span text, const char *path, struct buf *said);
unsigned list_check_traps(struct span text, const char *path, struct buf *said);
unsigned list_check_allowances(struct span text, const char *path, struct buf *said);
unsigned list_check_suspects(struct span text, const char *path, struct buf *said);

struct list_file;

/* Reads the file. A version that is taken is copied into folder `state` (NULL: not), so that the
 * next process has an earlier version to fall back on. `confirmed`: the administrator says that the
 * file is right as it is (a reload), also if it is much shorter than before. NULL only without
 * memory. */
struct list_file *list_file_open(const struct list_kind *kind, const char *path, const char *state,
                                 bool confirmed, uint64_t wall_ms);
void list_file_close(struct list_file *f);

/* Looks whether the file has changed; times are ms, monotonic and of the wall clock. True: another
 * version has been taken. */
bool list_file_look(struct list_file *f, uint64_t now_ms, uint64_t wall_ms);

/* Looks, and answers: YES or NO; LATER while nothing has been read yet, and instead of NO while a
 * newer version settles, for that may have the entry. `entry` is folded. */
enum answer_result list_file_has(struct list_file *f, struct span entry, uint64_t now_ms,
                                 uint64_t wall_ms);

/* The entries of the version that was taken, folded, each with "\n" behind it. */
struct span list_file_entries(const struct list_file *f);

/* Whether any version has been taken. */
bool list_file_loaded(const struct list_file *f);

/* Whether an earlier version answers because the newest is wrong, or has lost most of its lines. */
bool list_file_keeps(const struct list_file *f);

/* Whether a newer version is waited for, which may be being written still. */
bool list_file_is_changing(const struct list_file *f);

#endif
