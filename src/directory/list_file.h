/* A file with one entry a line: recipients, traps, suspects, allowances. "#" begins a comment. Only
 * for rooms that read such files.
 *
 * A version is accepted or rejected as a whole. If it has a wrong line, or less than half of the
 * entries of the version before, it is rejected, and one warning names file and line. The last
 * accepted version is copied into the state folder, and is used after a restart if the file is
 * broken. A file that is being written is read when it no longer changes (lines.h). Look-ups take
 * constant time. Not thread-safe. */
#ifndef MIRED_DIRECTORY_LIST_FILE_H
#define MIRED_DIRECTORY_LIST_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "query/query.h"

enum { LIST_RIGHT = 128 /* octets of the text that says what a line should be */ };

struct list_kind {
    const char *name;    /* "recipients"; begins the name of the copy */
    const char *folder;  /* of the copies, in the state folder; the master makes it */
    const char *wrong;   /* of a line: "is not an address" */
    const char *entry;   /* "address" */
    const char *entries; /* "addresses" */
    const char *without; /* what happens without any version: "its recipients are deferred" */
    /* Writes the entry of a line, without a line end, in the form in which it is looked up, and
     * returns its length; or returns 0 and writes what would be right. */
    size_t (*fold)(struct span line, char *out, size_t room, char right[LIST_RIGHT]);
};

extern const struct list_kind list_recipients; /* addresses, and "@domain" for all of one */
extern const struct list_kind list_traps;      /* addresses */
extern const struct list_kind list_allowances; /* "name 500 5000"; see allowances.h */
extern const struct list_kind list_suspects;   /* networks; a comment may follow on the line */

/* Appends to *said a message for each wrong line of a file's text, up to a few, and a warning if it
 * has no entry. Returns how many lines are wrong; one is enough to reject the file. */
unsigned list_check(const struct list_kind *kind, struct span text, const char *path,
                    struct buf *said);
/* The same for one kind each; see master/check.c. */
unsigned list_check_recipients(struct span text, const char *path, struct buf *said);
unsigned list_check_traps(struct span text, const char *path, struct buf *said);
unsigned list_check_allowances(struct span text, const char *path, struct buf *said);
unsigned list_check_suspects(struct span text, const char *path, struct buf *said);

struct list_file;

/* What a process does with the copy of the accepted version in the state folder. Processes that only
 * read it need no right to write there. */
enum list_copy { LIST_READ_COPY, LIST_KEEP_COPY };

/* Writes the path of the folder with the copies of this kind, of the state folder `state`. */
void list_copies(const struct list_kind *kind, const char *state, char *path, size_t room);

/* Reads the file. With LIST_KEEP_COPY an accepted version is copied into its folder in `state` (NULL:
 * there is no copy), so that the next process has an earlier version to fall back on. `confirmed`:
 * the administrator has said (`mirectl reload --accept-shorter`) that the file is right, even if it
 * is much shorter than before. NULL
 * only without memory. */
struct list_file *list_file_open(const struct list_kind *kind, const char *path, const char *state,
                                 enum list_copy how, bool confirmed, uint64_t wall_ms);
void list_file_close(struct list_file *f);

/* Checks whether the file has changed; times are ms, monotonic and of the wall clock. True if a new
 * version has been accepted. */
bool list_file_look(struct list_file *f, uint64_t now_ms, uint64_t wall_ms);

/* Checks the file and looks up `entry` (folded): YES or NO. LATER while no version has been read,
 * and in place of NO while a newer version settles, because that may have the entry. */
enum answer_result list_file_has(struct list_file *f, struct span entry, uint64_t now_ms,
                                 uint64_t wall_ms);

/* The entries of the accepted version, folded, each followed by "\n". Valid until the file is
 * checked again. */
struct span list_file_entries(const struct list_file *f);

/* Whether any version has been accepted. */
bool list_file_loaded(const struct list_file *f);

/* Whether an earlier version is in use because the newest is wrong, cannot be read, has lost most of
 * its lines, or goes on changing. */
bool list_file_keeps(const struct list_file *f);

/* Whether there is a newer version that may still be changing. */
bool list_file_is_changing(const struct list_file *f);

#endif
