/* The kinds of notes between the master and its children (base/channel.h).
 *
 * One list for all rooms, in a room that all processes may use: the master passes notes on between
 * children, and after an upgrade (master/upgrade.c) children of the earlier version talk to the new
 * master. So a number keeps its meaning for ever, and new kinds go to the end. */
#ifndef MIRED_QUERY_NOTES_H
#define MIRED_QUERY_NOTES_H

#include "base/channel.h"

/* How long the master waits for a child that it has sent NOTE_STOP. Children end within 2 s; on a busy
 * machine, or with many clients, later. */
enum {
#ifdef SLOW_CHECKER /* of scripts/valgrind: a process ends slowly, and looks for leaks when it does */
    NOTE_STOP_MS = 120000,
#else
    NOTE_STOP_MS = 5000,
#endif
};

enum note_kind {
    NOTE_READY = 1, /* child -> master: serving; arg: sandbox_compiled() */
    NOTE_DRAIN,     /* master -> worker: stop accepting, end with the last connection */
    NOTE_STOP,      /* master -> child: end within 2 s, telling clients 421 */
    NOTE_RELOAD,    /* web -> master: read the configuration again; answered by NOTE_RESULT; arg 1:
                       files are right even if they are much shorter than before */
    NOTE_RESULT,    /* master -> web: arg is a note_result; text says what happened. Without room or
                       memory for it, it comes later */
    NOTE_RELEASE, /* web -> master -> workers, freezers: text is an address or a network: answer its
                     holds now. The master sends it back to web: arg is how many it asked, text
                     their names, "NAME,NAME" */
    NOTE_SHUTDOWN, /* web -> master: stop; arg 1: drain first */
    NOTE_UPGRADE,  /* web -> master: run the new binary; answered by NOTE_RESULT */
    NOTE_BACKEND,  /* worker -> master -> web: text "NAME up|down" */
    NOTE_PING,     /* master -> worker, keeper, freezer, web: does your loop still run? */
    NOTE_PONG,     /* the answer */
    NOTE_COUNT,    /* web -> master -> workers, freezer: text is a network: how many connections of
                      it are held? The master sends it back to web: arg is how many it asked */
    NOTE_COUNTED, /* worker, freezer -> master -> web: arg is how many; text has the lists that name
                      a single address. The master puts before it which connections these are:
                      "held " or "frozen " */
    NOTE_SERVE,   /* master -> worker, fleet: your generation serves; accept, or join the fleet */
    NOTE_BACKENDS,    /* master -> worker: send NOTE_BACKEND and NOTE_LIST again: web has restarted
                    */
    NOTE_LIST,        /* worker -> master -> web: text "ZONE STATE", the state by its test */
    NOTE_DRAINING,    /* worker -> master: the answer to NOTE_DRAIN: it has stopped accepting */
    NOTE_RELEASED,    /* worker, freezer -> master -> web: arg is how many holds it has answered so
                      far, or -errno; text is "more" at once and twice a second, "done" at the end.
                      The master turns this into "held more NAME" or "frozen done NAME" */
    NOTE_CONNECTIONS, /* web -> master -> workers: text is "NETWORK PHASE", "-" for any: which
                              connections are open? The master sends it back to web: arg is how many it
                              asked */
    NOTE_CONNECTIONS_TOLD, /* worker -> master -> web: text has a line a connection (see
                              worker/connections.h); arg is how many there are, told or not, in a
                              worker's last note, and -1 in those before it */
    NOTE_TALLY,            /* web -> master -> workers, freezers: text is clients' addresses
                              (query/tally.h): how many connections of each are held? The master sends it
                              back to web: arg is how many it asked */
    NOTE_TALLIED,    /* worker, freezer -> master -> web: arg is 0 and text the numbers, or arg is
                              -errno; the master puts before them "held " or "frozen " */
    NOTE_FLEET_ASK,  /* web -> master -> fleet: text is a query (control/members.h) */
    NOTE_FLEET_TOLD, /* fleet -> master -> web: the answer to it; arg 1: more comes, 0: the end, -1:
                        there is no fleet process */
    NOTE_FLEET_DO,   /* fleet -> master -> web: do what text says, another member's order */
    NOTE_FLEET_DONE, /* web -> master -> fleet: it is done; arg is how many holds were answered */
    NOTE_STORE,      /* worker -> master -> store, there on a channel of its own: fd[0] is a
                        connection, arg the worker's slot, which the master sets; text says how the
                        worker reads addresses (query/store_words.h) */
    NOTE_LISTENER,   /* master -> worker: fd[0] takes the place of the listener of slot arg, text is
                        its "ADDRESS:PORT" */
    NOTE_KEPT,       /* master -> child: a reload is over, and has kept you */
};

/* What has become of a command. RESULT_BUSY: nothing yet, because another reload or upgrade is in
 * progress; ask again when it is over. An earlier program takes all but RESULT_DONE for a failure. */
enum note_result { RESULT_DONE, RESULT_FAILED, RESULT_BUSY };

/* Tells the master that this process is ready; compiled: sandbox_compiled(). The master would wait for
 * the note for ever, so this waits up to 2 s for room or memory. 0; or 1, and the process must end with
 * this status, so that another one begins. */
int note_ready(int control, unsigned compiled);

#endif
