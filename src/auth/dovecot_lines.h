/* Lines that Dovecot's auth socket sends: cut from what has come, and read. Private to src/auth. Pure;
 * clerks only. */
#ifndef MIRED_AUTH_DOVECOT_LINES_H
#define MIRED_AUTH_DOVECOT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "query/query.h"

enum { DOVECOT_LINE_MAX = 8192 /* octets, with its end */ };

/* What has come and is not read yet; zero at first. */
struct dovecot_lines {
    size_t begin, end; /* of the rest in `text` */
    char text[DOVECOT_LINE_MAX];
};

/* Where more goes, and how much. */
char *dovecot_lines_room(struct dovecot_lines *l, size_t *room);
void dovecot_lines_add(struct dovecot_lines *l, size_t len);

/* Copies the next complete line, without its end, as a string to `out`; *len is its length. */
bool dovecot_lines_take(struct dovecot_lines *l, char out[DOVECOT_LINE_MAX], size_t *len);

bool dovecot_lines_is_empty(const struct dovecot_lines *l);
/* Whether the rest is as long as a line may be. Call it when no complete line is left. */
bool dovecot_lines_is_full(const struct dovecot_lines *l);
/* Wipes all. */
void dovecot_lines_clear(struct dovecot_lines *l);

/* Whether the line's first word is this one. */
bool dovecot_line_is(const char *line, const char *word);

/* "MECH NAME PARAMETERS": the mechanism (enum smtp_auth); 0: none that mired uses, or another line. */
uint32_t dovecot_line_mechanism(const char *line);

/* "OK", "CONT" or "FAIL" with the number of a request: YES, MORE, and NO or LATER. False: the line is
 * no answer. */
bool dovecot_line_answer(const char *line, uint32_t *number, enum answer_result *result);

/* Whether there is a field of that name, with a value or without. */
bool dovecot_line_has(const char *line, const char *name);

/* Decodes the message for the client in "CONT ID DATA" (`more`) or "OK ID ... resp=DATA", and
 * appends it. 0, -EBADMSG or -ENOMEM. */
int dovecot_line_data(const char *line, bool more, struct buf *data);

/* Why, for people ("reason="), or empty. */
struct span dovecot_line_reason(const char *line);

/* Dovecot's own name for the account, in OK and in FAIL: the client's name after
 * auth_username_format, aliases and the rest of Dovecot's configuration. Empty: there is none. */
struct span dovecot_line_name(const char *line);

#endif
