/* The `file` directory: one address a line, "@domain" for all of one, "#" comments. Hashed, reread
 * when it changes (by stat at most once a second); a broken reread keeps the old one and warns. */
#ifndef MIRED_DIRECTORY_FILE_H
#define MIRED_DIRECTORY_FILE_H

#include "base/bytes.h"
#include "clerk/ask.h"

struct file_directory;

struct file_directory *file_directory_open(const char *path);
void file_directory_close(struct file_directory *f);

/* Whether this very line stands in the file: "user@domain" or "@domain". `now_ms` is monotonic. */
enum answer_result file_directory_has(struct file_directory *f, struct span line, uint64_t now_ms);

#endif
