/* The actions behind commands and the page: release, exempt, penalise, and taking them back. In the
 * web process, which has the ledger mapped.
 *
 * Each result says what has happened, not what was requested: the result of a release comes when
 * workers and freezer have answered the holds, with their number and the processes that could not
 * be reached. Callers log each change with the user who made it. */
#ifndef MIRED_CONTROL_ACTIONS_H
#define MIRED_CONTROL_ACTIONS_H

#include <stdint.h>

#include "control/steering.h"

enum { ACTION_TEXT = 2048 };

struct action;

struct action_result {
    const char *code;       /* NULL: done; else a code of commands.h, and `text` says why not */
    char text[ACTION_TEXT]; /* a sentence for the user */
    unsigned entries;     /* of a release: clients and networks whose offences are forgotten ... */
    double offences;      /* ... and how many those of clients were; penalise: that are live */
    int64_t held, frozen; /* of a release: holds that have been answered */
    bool unreached;       /* some process or member of the fleet could not be reached */
};

typedef void action_told(void *arg, const struct action_result *r);

/* Both forget offences (good mail and exemptions stay) and let holds be answered. `name` is the
 * name that the user gave. If they return NULL, *r is the result; else `told` is called later,
 * once. `all`: a network may be wider than a /8 (IPv6: /32). */
struct action *action_release(struct steering *s, const struct whom *who, const char *name,
                              bool all, action_told *told, void *arg, struct action_result *r);
struct action *action_release_everybody(struct steering *s, action_told *told, void *arg,
                                        struct action_result *r);

/* Exempts a client or a network for a time (in the form of config_duration(); NULL: without end),
 * and releases it like action_release(). */
struct action *action_exempt(struct steering *s, const struct whom *who, const char *name,
                             const char *lasts, action_told *told, void *arg,
                             struct action_result *r);

/* `told` must not be called any more; the action itself continues. */
void action_drop(struct action *a);

/* Ends an exemption that was given by action_exempt(), with a result in the same way. */
struct action *action_end_exemption(struct steering *s, const struct whom *who, const char *name,
                                    action_told *told, void *arg, struct action_result *r);

void action_penalise(struct steering *s, const struct whom *who, const char *name, double offences,
                     struct action_result *r);
void action_take_back(struct steering *s, enum undo_kind kind, const struct whom *who,
                      const char *name, struct action_result *r);

#endif
