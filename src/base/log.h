/* The log: one event a line on standard error, as key=value text or JSON (docs: log fields).
 *
 * Values are escaped here, so that no caller can forget it: in text form a value with anything but
 * printable ASCII without space, '"' and '\\' is quoted, control and non-ASCII octets as \xHH. In
 * JSON invalid UTF-8 is escaped the same way. A line is one write(2), at most LOG_LINE_MAX octets
 * (longer values are cut and end in "..."), so lines of several processes never mix. Colour when
 * text goes to a terminal. Passwords and message content never reach this file.
 *
 * Only log_end() is thread-safe; each thread builds its own line on its own stack. */
#ifndef MIRED_BASE_LOG_H
#define MIRED_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

#define LOG_LINE_MAX 4096

struct log_line {
    bool on; /* false: below the level, all log_* calls do nothing */
    uint8_t level;
    uint16_t len;
    char text[LOG_LINE_MAX];
};

/* Sets format, level and the process's role ("master", "worker 3"), which each line carries. */
void log_open(enum log_format format, enum log_level level, const char *role);

/* Also keeps lines of LOG_INFO and above in this ring, whatever the level; NULL: in none. */
struct log_ring;
void log_keep(struct log_ring *ring);

/* Whether a line of this level would be written or kept. If not, callers need not gather its
 * fields. */
bool log_wants(enum log_level level);

/* Sets the descriptor that lines are written to; the default is 2 (standard error). For tests. */
void log_to(int fd);

/* Begin a line, add its fields in order, and end it, which writes it. Keys are literals of [a-z_].
 */
void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_span(struct log_line *l, const char *key, struct span value);
void log_text(struct log_line *l, const char *key, const char *value);
void log_int(struct log_line *l, const char *key, int64_t value);
void log_addr(struct log_line *l, const char *key, const struct addr *value);
/* A duration in ms, written as seconds with one decimal: 61.2s in text, 61.2 in JSON. */
void log_seconds(struct log_line *l, const char *key, uint64_t ms);
void log_end(struct log_line *l);

/* Write a line that has only a sentence: event=notice text="...". */
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether `every_ms` have passed since a line that was logged last at *told_ms (0: never), so that it
 * may come again; then *told_ms becomes `now`. */
bool log_is_due(uint64_t *told_ms, uint64_t every_ms, uint64_t now);

#endif
