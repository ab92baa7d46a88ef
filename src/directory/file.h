/* The `file` directory: one address a line, "@domain" for all of one, "#" comments. Private to the
 * directory. */
#ifndef MIRED_DIRECTORY_FILE_H
#define MIRED_DIRECTORY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "query/query.h"

struct file_directory;

/* Appends to *said what is wrong with the lines of a file, at most some of them, and a warning when
 * it has no address. Returns how many lines are wrong: one is enough to refuse the file. */
unsigned file_directory_check_lines(struct span text, const char *path, struct buf *said);

/* Reads the file. A version that is taken is copied into folder `state` (NULL: not), so that the
 * next process has an earlier version to fall back on. `confirmed`: the administrator says that the
 * file is right as it is (a reload), also if it is much shorter than before. NULL only without
 * memory. */
struct file_directory *file_directory_open(const char *path, const char *state, bool confirmed,
                                           uint64_t wall_ms);
void file_directory_close(struct file_directory *f);

/* Looks whether the file has changed; times are ms, monotonic and of the wall clock. */
void file_directory_look(struct file_directory *f, uint64_t now_ms, uint64_t wall_ms);

/* Looks, and answers: YES or NO; LATER while nothing has been read yet, and instead of NO while a
 * newer version settles, for that may have the address. */
enum answer_result file_directory_has(struct file_directory *f, struct span line, uint64_t now_ms,
                                      uint64_t wall_ms);

/* Whether any version has been taken. */
bool file_directory_loaded(const struct file_directory *f);

/* Whether an earlier version answers because the newest is wrong, or has lost most of its lines. */
bool file_directory_keeps(const struct file_directory *f);

#endif
