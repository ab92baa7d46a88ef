/* For the drivers of src/smtp whose other files are stand-ins: any texts, and what a stand-in asks of
 * the texts that it gets. */
#ifndef MIRED_PROOF_ANY_SMTP_H
#define MIRED_PROOF_ANY_SMTP_H

#include "any.h"

#include "smtp/reply.h"

enum { ANY_WORDS = 4 };

/* Up to ANY_WORDS octets of any value. Its length is a range, so follow none of its parts. */
struct span any_words(void);

/* `form` without its NUL, in `room`, with octets of any value in place of each '?'. */
struct span any_form(const char *form, char *room);

/* Any reply that a backend may give: its code is a range, too. */
struct reply any_reply(unsigned least, unsigned most);

/* The octets must be there, and set. */
void proof_reads(struct span s);

/* What is compared must be there, and the result may be either: EVA takes these contracts in place of
 * the functions where scripts/proof says so (-eva-use-spec), so that a table of texts costs no paths. */
/*@ requires first_is_there: a.len == 0 || \valid_read(a.at + (0 .. a.len - 1));
  @ requires first_is_set: a.len == 0 || \initialized(a.at + (0 .. a.len - 1));
  @ requires second_is_there: b.len == 0 || \valid_read(b.at + (0 .. b.len - 1));
  @ assigns \result \from a, b;
  @ ensures truth: \result == 0 || \result == 1; */
bool span_equal_fold(struct span a, struct span b);

/*@ requires there: len == 0 || \valid_read((const char *)in + (0 .. len - 1));
  @ requires set: len == 0 || \initialized((const char *)in + (0 .. len - 1));
  @ requires other_is_there: \valid_read((const char *)wanted + (0 .. wanted_len - 1));
  @ assigns \result \from in, len;
  @ ensures found_or_not: \result == \null || \result == in; // the callers do not ask where */
void *proof_memmem(const void *in, size_t len, const void *wanted, size_t wanted_len);

/* 0 or -ENOMEM. */
int any_memory(void);

#endif
