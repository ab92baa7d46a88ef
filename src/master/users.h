/* A user for each kind of process, where root starts mired and such users exist: workers run as
 * USER-worker, clerks as USER-clerk, the store as USER-store and the keeper as USER-keeper; the
 * others, and all without such a user, as USER (the key `user`), to which the state folder belongs. */
#ifndef MIRED_MASTER_USERS_H
#define MIRED_MASTER_USERS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "master/privileges.h"

struct config;

enum users_kind { USERS_WORKER, USERS_CLERK, USERS_STORE, USERS_KEEPER, USERS_OTHER, USERS_KINDS };

struct users {
    struct identity of[USERS_KINDS];
};

/* Looks the users up; `all` is the identity of USER. */
void users_find(struct users *u, const struct identity *all);

/* Whether processes of that kind have a user of their own. */
bool users_is_apart(const struct users *u, enum users_kind kind);

/* Whether root can become USER at all. Returns 0, or -1 with a message in *errors. */
int users_check_root(const struct users *u, struct buf *errors);

/* Gives the folders below `path`, the state folder, to the users whose processes write there, with
 * all files that belong to USER. Makes those that are missing. With `as_is` (the processes of an
 * earlier program still run) it changes no owner: a user that does not have its folder yet is left
 * out of *u until mired starts again. If mired was not started by root, it only warns of folders
 * that it cannot use. Where root may not change owners, users without their folder are left out,
 * with a warning. Returns 0, or -1 with messages in *errors. */
int users_settle(struct users *u, const char *path, bool as_is, struct buf *errors);

/* Who may own a folder below `state` of that name, beside USER. */
const struct identity *users_of_folder(const struct users *u, const char *name);

/* Lets workers connect to the store's socket. */
void users_settle_socket(const struct users *u, const char *run, const char *name);

/* The users for a configuration: clerks or workers that cannot open what it names, as USER can,
 * run as USER. Adds a line for each to *said. */
struct users users_for(const struct users *u, const struct config *config, struct buf *said);

/* "mired-worker, ...", for people. */
const char *users_title(enum users_kind kind);

#endif
