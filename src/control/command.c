/* Carries out the commands of the control socket; each has a handler. In the web process.
 *
 * The web process itself reads the counters and the ledger, which it has mapped. Commands for the
 * master go to it as a note, and its NOTE_RESULT becomes the answer. */
#include "config/print.h"
#include "control/commands.h"
#include "control/control_part.h"
#include "query/notes.h"

static void run_status(struct control *c, const json_t *args)
{
    control_done(c, status_json(c->steering));
}

static void run_config(struct control *c, const json_t *args)
{
    struct buf text = {0};

    if (config_print(c->steering->params->config, &text) < 0)
        control_fail(c, CONTROL_REFUSED, "not enough memory");
    else
        control_done(c, json_pack("{s:s%}", "config", text.at, (size_t)text.len));
    buf_free(&text);
}

static void run_reload(struct control *c, const json_t *args)
{
    bool accepts = request_flag(args, "accept_shorter");

    control_log(c, "reload", accepts ? "accept-shorter" : NULL);
    steering_ask_master(c->steering, c, NOTE_RELOAD, accepts, NULL);
}

static void run_upgrade(struct control *c, const json_t *args)
{
    control_log(c, "upgrade", NULL);
    steering_ask_master(c->steering, c, NOTE_UPGRADE, 0, NULL);
}

static void run_stop(struct control *c, const json_t *args)
{
    bool drain = request_flag(args, "drain");

    control_log(c, "stop", drain ? "drain" : NULL);
    steering_ask_master(c->steering, c, NOTE_SHUTDOWN, drain, NULL);
}

static void (*const handlers[COMMAND_COUNT])(struct control *c, const json_t *args) = {
    [COMMAND_STATUS] = run_status,     [COMMAND_RELOAD] = run_reload,
    [COMMAND_UPGRADE] = run_upgrade,   [COMMAND_STOP] = run_stop,
    [COMMAND_CLIENTS] = run_clients,   [COMMAND_SHOW] = run_show,
    [COMMAND_RELEASE] = run_release,   [COMMAND_EXEMPT] = run_exempt,
    [COMMAND_PENALISE] = run_penalise, [COMMAND_RECIPIENT] = run_recipient,
    [COMMAND_ROUTE] = run_route,       [COMMAND_CACHE] = run_cache,
    [COMMAND_LEDGER] = run_ledger,     [COMMAND_ADVISE] = run_advise,
    [COMMAND_LOG] = run_log,           [COMMAND_CONNECTIONS] = run_connections,
    [COMMAND_OBSERVE] = run_observe,   [COMMAND_TRAPS] = run_traps,
    [COMMAND_CONFIG] = run_config,     [COMMAND_FLEET] = run_fleet,
};

void control_run(struct control *c, const struct request *r)
{
    handlers[r->command](c, r->args);
}
