/* The state for commands and the page, and the channel to the master; see steering.h. */
#include "control/steering.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "control/control_part.h"
#include "directory/allowances.h"
#include "query/notes.h"

/* The master gives 32 bits of a tag back. */
uint64_t steering_tag(struct steering *s)
{
    do
        s->last_tag++;
    while (s->last_tag == 0 || steering_asker(s, s->last_tag));
    return s->last_tag;
}

void steering_ask_master(struct steering *s, struct control *c, uint32_t kind, int32_t arg,
                         const char *text)
{
    uint64_t tag = steering_tag(s);
    int error = channel_tell(s->params->control, kind, arg, tag, text);

    if (error)
        control_fail(c, CONTROL_REFUSED, "cannot reach the master: %s", strerrordesc_np(-error));
    else
        c->tag = tag;
}

struct control *steering_asker(const struct steering *s, uint64_t tag)
{
    struct control *c = s->controls;

    while (c && c->tag != tag)
        c = c->next;
    return tag ? c : NULL;
}

static void take_result(struct steering *s, const struct note *n)
{
    struct control *c = steering_asker(s, n->tag);

    if (!c)
        return;
    c->tag = 0;
    if (n->arg == RESULT_DONE)
        control_done(c, json_pack("{s:s}", "text", n->text));
    else
        control_fail(c, n->arg == RESULT_BUSY ? CONTROL_BUSY : CONTROL_REFUSED, "%s", n->text);
    control_resume(c);
}

/* "NAME up" or "NAME down". */
static void take_backend(struct steering *s, const struct note *n)
{
    const char *space = strrchr(n->text, ' ');
    size_t len = space ? (size_t)(space - n->text) : 0;
    unsigned i = 0;

    if (len == 0 || len >= sizeof s->backend[0].name)
        return;
    while (i < s->backends &&
           (strncmp(s->backend[i].name, n->text, len) != 0 || s->backend[i].name[len]))
        i++;
    if (i == STEERING_BACKENDS)
        return;
    if (i == s->backends) {
        memcpy(s->backend[i].name, n->text, len);
        s->backends++;
    }
    s->backend[i].up = strcmp(space, " up") == 0;
}

/* "ZONE its state". */
static void take_list(struct steering *s, const struct note *n)
{
    size_t len = strcspn(n->text, " ");
    unsigned i = 0;

    if (len == 0 || !n->text[len] || len >= sizeof s->list[0].zone)
        return;
    while (i < s->lists && (strncmp(s->list[i].zone, n->text, len) != 0 || s->list[i].zone[len]))
        i++;
    if (i == STEERING_LISTS)
        return;
    if (i == s->lists) {
        memcpy(s->list[i].zone, n->text, len);
        s->lists++;
    }
    snprintf(s->list[i].state, sizeof s->list[i].state, "%s", n->text + len + 1);
}

void steering_note(struct steering *s, const struct note *n)
{
    switch (n->kind) {
    case NOTE_RESULT: take_result(s, n); break;
    case NOTE_BACKEND: take_backend(s, n); break;
    case NOTE_LIST: take_list(s, n); break;
    case NOTE_COUNT:
    case NOTE_COUNTED:
    case NOTE_TALLY:
    case NOTE_TALLIED:
    case NOTE_RELEASE:
    case NOTE_RELEASED: holders_note(&s->holders, n); break;
    case NOTE_FLEET_TOLD: member_asks_note(&s->members, n); break;
    case NOTE_FLEET_DO: steering_order(s, n); break;
    case NOTE_CONNECTIONS: connections_asked(s, n); break;
    case NOTE_CONNECTIONS_TOLD: connections_told(s, n); break;
    default: break;
    }
}

/* ---- beginning and end ---- */

static void look_at_allowances(struct loop *loop, struct alarm *a)
{
    struct steering *s = steering_of(loop);

    allowances_look(s->allowances, loop->now, loop->wall);
    loop_alarm(loop, a, loop->now + ALLOWANCES_LOOK_MS);
}

int steering_open(struct steering *s, const struct steering_params *params,
                  void (*ended)(struct loop *loop))
{
    s->params = params;
    s->last_tag = (uint32_t)clock_mono_us();
    s->ended = ended;
    s->undo = undo_open();
    s->holders = (struct holders){.loop = &s->loop, .channel = params->control};
    s->members = (struct members_asks){.loop = &s->loop, .channel = params->control};
    int error = control_open(s, params->control_listen);
    return error ? error : recipient_open(s);
}

int steering_begin(struct steering *s)
{
    s->allowances = allowances_open(s->params->config, LIST_READ_COPY, s->params->confirmed);
    if (!s->allowances)
        return -ENOMEM;
    s->allowances_alarm.due = look_at_allowances;
    if (allowances_has_file(s->allowances))
        loop_alarm(&s->loop, &s->allowances_alarm, s->loop.now + ALLOWANCES_LOOK_MS);
    return 0;
}

void steering_finish(struct steering *s)
{
    s->finishing = true;
    control_finish(s);
}

void steering_close(struct steering *s)
{
    control_close(s);
    undo_close(s->undo);
    loop_alarm_off(&s->loop, &s->allowances_alarm);
    allowances_close(s->allowances);
}
