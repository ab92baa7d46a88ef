/* Lists the open connections (connections.h). */
#include "worker/connections.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "query/notes.h"
#include "relay/relay.h"
#include "worker/auth_queue.h"
#include "worker/conn_state.h"
#include "worker/ident.h"
#include "worker/queries.h"
#include "worker/worker_part.h"

/* ---- what a connection waits for ---- */

static void of_hold(const struct worker *w, const struct conn *c, char *out, size_t room)
{
    uint64_t waited = conn_waited(w, c), left = c->hold_ms > waited ? c->hold_ms - waited : 0;
    struct reply r = {0};

    if (smtp_reply_again(&c->smtp, &w->service[c->listener], &r))
        snprintf(out, room, "its %u, in %.1f s", r.code, (double)left / 1000);
}

static void of_query(const struct query *q, char *out, size_t room)
{
    if (q->auth_queue == AUTH_QUEUE_STANDS)
        snprintf(out, room, "its turn among strangers to the account");
    else
        snprintf(out, room, "%s about its %s", q->sent ? "a clerk's answer" : "a free clerk",
                 q->kind == QUERY_RECIPIENT  ? "recipient"
                 : q->kind == QUERY_PASSWORD ? "password"
                                             : "SCRAM message");
}

static void of_handover(const struct work *k, char *out, size_t room)
{
    const char *backend, *state;

    if (!k->handover) {
        snprintf(out, room, "the client's names from the DNS");
        return;
    }
    state = relay_waits_for(k->handover, &backend);
    snprintf(out, room, "backend %.120s: %s", backend ? backend : "-", state);
}

static void waits_for(const struct worker *w, const struct conn *c, char *out, size_t room)
{
    snprintf(out, room, "%s", conn_phase_waits_for((enum conn_phase)c->phase));
    switch ((enum conn_phase)c->phase) {
    case CONN_READING:
        if (c->work && c->work->out.len)
            snprintf(out, room, "the client to take its replies");
        else if (smtp_in_data(&c->smtp))
            snprintf(out, room, "more of its message");
        break;
    case CONN_HELD: of_hold(w, c, out, room); break;
    case CONN_ASKING: of_query(c->work->query, out, room); break;
    case CONN_HANDING: of_handover(c->work, out, room); break;
    case CONN_SHAKING:
        if (c->flags & CONN_TLS_LATER)
            snprintf(out, room, "its turn for a TLS handshake");
        break;
    case CONN_CLOSING:
    case CONN_PROXY: break;
    }
}

/* ---- lines ---- */

struct telling {
    struct worker *w;
    struct network client;
    unsigned phase; /* CONN_PHASE_COUNT: any */
    bool any_client;
    int32_t found, lines, most;
    struct note note;
};

/* Sends the lines that have been gathered; `arg` as in notes.h. */
static void send_part(struct telling *t, int32_t arg)
{
    t->note.text[t->note.len] = '\0';
    channel_tell(t->w->params->control, NOTE_CONNECTIONS_TOLD, arg, t->note.tag, t->note.text);
    t->note.len = 0;
}

static void add_line(struct telling *t, const struct conn *c)
{
    char line[CONNECTIONS_LINE], address[ADDR_TEXT], id[IDENT_MAX], flags[CONN_FLAGS_TEXT],
        what[160];
    uint64_t open = clock_since((uint64_t)c->opened_s * 1000, t->w->loop.wall);

    waits_for(t->w, c, what, sizeof what);
    int len = snprintf(line, sizeof line, "%s\t%s\t%s\t%s\t%lu\t%lu\t%s\n",
                       addr_format(&c->peer, address), ident_session(&c->peer, c->opened_s, id),
                       conn_phase_name((enum conn_phase)c->phase), conn_flags_text(c->flags, flags),
                       (unsigned long)open, (unsigned long)conn_waited(t->w, c), what);
    if (len < 0 || (size_t)len >= sizeof line)
        return;
    if (t->note.len + (size_t)len >= NOTE_TEXT)
        send_part(t, -1);
    memcpy(t->note.text + t->note.len, line, (size_t)len);
    t->note.len += (uint32_t)len;
    t->lines++;
}

static void look(struct telling *t, const struct ring *ring)
{
    for (struct ring *link = ring->next; link != ring; link = link->next) {
        const struct conn *c = conn_of_link(link);
        if ((t->phase != CONN_PHASE_COUNT && c->phase != t->phase) ||
            (!t->any_client && !network_concerns(&t->client, &c->peer)))
            continue;
        t->found++;
        if (t->lines < t->most)
            add_line(t, c);
    }
}

void connections_tell(struct worker *w, const struct note *query)
{
    int32_t part = CONNECTIONS_LINES / (int32_t)(w->params->slots ? w->params->slots : 1);
    struct telling t = {.w = w, .most = part > CONNECTIONS_LEAST ? part : CONNECTIONS_LEAST};
    size_t len = strcspn(query->text, " ");
    const char *phase = query->text + len + (query->text[len] != '\0');

    t.note.tag = query->tag;
    t.any_client = strncmp(query->text, "-", len) == 0;
    t.phase = conn_phase_by_name(phase);
    if ((!t.any_client && !network_parse((struct span){query->text, len}, &t.client)) ||
        (t.phase == CONN_PHASE_COUNT && strcmp(phase, "-") != 0))
        return;
    look(&t, &w->awake);
    for (int i = 0; i < GUARD_LEVELS; i++)
        look(&t, &w->guard.level[i]);
    send_part(&t, t.found);
}
