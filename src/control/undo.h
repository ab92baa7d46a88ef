/* The changes that can be taken back, as long as this web process runs (until the next reload or
 * restart). */
#ifndef MIRED_CONTROL_UNDO_H
#define MIRED_CONTROL_UNDO_H

#include <jansson.h>
#include <stdint.h>

#include "base/addr.h"
#include "tarpit/ledger.h"

enum undo_kind { UNDO_RELEASE, UNDO_PENALISE, UNDO_KINDS };

struct undo;

/* NULL without memory; the functions below accept that, and nothing can then be taken back. */
struct undo *undo_open(void);
void undo_close(struct undo *u);

/* Begins a change of `n`; undo_keep() stores each entry as it was before (of a penalty, how much is
 * added). If there are very many entries, not all are stored. */
void undo_begin(struct undo *u, enum undo_kind kind, const struct network *n);
void undo_keep(struct undo *u, const struct ledger_key *k, const struct ledger_entry *e,
               uint64_t now);

/* Whether a change of that kind can be taken back for `n`. */
bool undo_has(const struct undo *u, enum undo_kind kind, const struct network *n);
/* Takes back the last change of that kind for `n`. Returns how many entries were changed; -1 if
 * there is no such change. */
int undo_take(struct undo *u, struct ledger *l, const struct ledger_decay *d, enum undo_kind kind,
              const struct network *n, uint64_t now);

/* Those that can be taken back, the last first: [{"what": "release", "address": ..., "at_ms": ...,
 * "entries": ...}, ...]. */
json_t *undo_json(const struct undo *u);

#endif
