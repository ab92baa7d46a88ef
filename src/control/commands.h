/* The commands of the control socket: names, arguments, help. One table that the web process (which
 * carries them out), mirectl (which sends and explains them) and the tests read.
 *
 * The protocol: mirectl sends one line of JSON,
 * {"v":1,"command":"show","args":{"address":"192.0.2.7"}} and gets one or several lines. The last
 * one has "ok": {"v":1,"ok":true,...} with the result, or
 * {"v":1,"ok":false,"code":"refused","error":"a sentence"}; lines before it are parts of a long
 * result. "code" is one of those below. A program that gets a line with another "v" says that it
 * does not understand it, because the two programs are of different versions. */
#ifndef MIRED_CONTROL_COMMANDS_H
#define MIRED_CONTROL_COMMANDS_H

#ifndef CONTROL_VERSION /* a test defines another one */
#define CONTROL_VERSION 1
#endif

enum { CONTROL_LINE_MAX = 256 * 1024 };

#define CONTROL_REFUSED "refused" /* understood but not done; mirectl exits 1 */
#define CONTROL_MISSING "missing" /* there is no such client, address...; 1 */
#define CONTROL_USAGE   "usage"   /* the request is wrong; 2 */
#define CONTROL_BUSY    "busy"    /* not yet: ask again; mirectl does, for a while, then exits 1 */
#define CONTROL_OTHER   "version" /* asked by a mirectl of another version; 3 */

/* C(identifier, name, arguments, help, example) */
#define COMMANDS(C)                                                                                \
    C(STATUS, "status", "", "what mired is doing, and how long attackers have waited so far",      \
      "mirectl status")                                                                            \
    C(RELOAD, "reload", "[--accept-shorter]",                                                      \
      "read the configuration again; a broken one changes nothing", "mirectl reload")              \
    C(UPGRADE, "upgrade", "",                                                                      \
      "switch to the installed version; no connection is refused or dropped", "mirectl upgrade")   \
    C(STOP, "stop", "[--drain]", "stop mired; with --drain, once connected clients have finished", \
      "mirectl stop --drain")                                                                      \
    C(CLIENTS, "clients", "[--limit N] [--sort held|offences|good]", "the worst clients",          \
      "mirectl clients --limit 5")                                                                 \
    C(CONNECTIONS, "connections",                                                                  \
      "[--phase reading|held|asking|delivering|closing|handshake|proxy] [--client "                \
      "ADDRESS|NETWORK]",                                                                          \
      "open connections: phase, flags, age, what each waits for",                                  \
      "mirectl connections --phase asking")                                                        \
    C(SHOW, "show", "ADDRESS|ACCOUNT",                                                             \
      "what is known of one client and its network, or what an account has sent",                  \
      "mirectl show 192.0.2.7")                                                                    \
    C(RELEASE, "release", "[ADDRESS|NETWORK|ACCOUNT] [--undo] [--all]",                            \
      "forget a client's offences and answer its holds now; --undo reverts that, --all releases "  \
      "every client; of an account, forget what it has sent and that it looks stolen",             \
      "mirectl release 192.0.2.7")                                                                 \
    C(EXEMPT, "exempt", "ADDRESS|NETWORK [--for 1d | --remove] | --list",                          \
      "never delay a client, without a change of the configuration",                               \
      "mirectl exempt 192.0.2.7 --for 1d")                                                         \
    C(PENALISE, "penalise", "ADDRESS [--offences N] [--undo]",                                     \
      "book offences, or revert that: for a content filter or a log watcher",                      \
      "mirectl penalise 192.0.2.7 --offences 3")                                                   \
    C(RECIPIENT, "recipient", "ADDRESS", "what the directories say of an address",                 \
      "mirectl recipient alice@example.org")                                                       \
    C(ROUTE, "route", "ADDRESS",                                                                   \
      "which directory, backend and verifier serve an address, and why",                           \
      "mirectl route alice@example.org")                                                           \
    C(CACHE, "cache", "flush [ADDRESS|SOURCE]",                                                    \
      "forget cached answers: of an address, of ldap, socketmap or backend, or all",               \
      "mirectl cache flush alice@example.org")                                                     \
    C(LEDGER, "ledger", "dump | load FILE",                                                        \
      "write the whole ledger as lines of JSON, or load such lines",                               \
      "mirectl ledger dump >ledger.json")                                                          \
    C(LOG, "log", "[ADDRESS|SENDER|RECIPIENT] [--follow] [--limit N]",                             \
      "the log's last 10,000 lines, or those about one client, sender, recipient or id",           \
      "mirectl log --follow alice@example.org")                                                    \
    C(CONFIG, "config", "", "the configuration in effect, with all defaults", "mirectl config")    \
    C(OBSERVE, "observe", "[--since 7d]",                                                          \
      "what would have waited while `observe` is on: good mail first, then attackers",             \
      "mirectl observe --since 7d")                                                                \
    C(FLEET, "fleet", "", "members of the fleet: lag, clocks, keys, what is not shared now",       \
      "mirectl fleet")                                                                             \
    C(TRAPS, "traps", "--suggest",                                                                 \
      "unknown recipients that many strangers have tried and nobody with good mail",               \
      "mirectl traps --suggest")                                                                   \
    C(ADVISE, "advise", "", "suggested settings, each with its reason", "mirectl advise")

enum control_command {
#define COMMAND_ID(id, name, arguments, help, example) COMMAND_##id,
    COMMANDS(COMMAND_ID)
#undef COMMAND_ID
        COMMAND_COUNT
};

struct control_about {
    const char *name, *arguments, *help, *example;
};
extern const struct control_about control_commands[COMMAND_COUNT];

/* COMMAND_COUNT when there is none of that name. */
enum control_command command_by_name(const char *name);

#endif
