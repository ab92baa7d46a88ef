/* The changes that can be taken back, for as long as this web process lives (until the next reload
 * or restart). */
#ifndef MIRED_CONTROL_UNDO_H
#define MIRED_CONTROL_UNDO_H

#include <jansson.h>
#include <stdint.h>

#include "base/addr.h"
#include "tarpit/ledger.h"

enum undo_kind { UNDO_RELEASE, UNDO_PENALISE, UNDO_KINDS };

struct undo;

/* NULL without memory: nothing can be taken back; the functions below take it. */
struct undo *undo_open(void);
void undo_close(struct undo *u);

/* Begins a change of `n`, of which undo_keep() remembers each entry as it was (in a penalty, how
 * much is added). Of very many entries not all are kept. */
void undo_begin(struct undo *u, enum undo_kind kind, const struct network *n);
void undo_keep(struct undo *u, const struct ledger_key *k, const struct ledger_entry *e,
               uint64_t now);

/* Whether there is such a change of `n` to take back. */
bool undo_has(const struct undo *u, enum undo_kind kind, const struct network *n);
/* Takes the last such change of `n` back. How many entries were changed; -1: there is none. */
int undo_take(struct undo *u, struct ledger *l, const struct ledger_decay *d, enum undo_kind kind,
              const struct network *n, uint64_t now);

/* Those that can be taken back, the last first: [{"what": "release", "address": ..., "at_ms": ...,
 * "entries": ...}, ...]. */
json_t *undo_json(const struct undo *u);

#endif
