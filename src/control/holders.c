/* Asks workers and freezers through the master; see holders.h. */
#include "control/holders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* ASKED_MOST: more processes than a mired can have. */
enum { NAME_MAX_OCTETS = 48, ASKED_MOST = 65536 };

/* One process that was asked to release. */
struct holder {
    char name[NAME_MAX_OCTETS];
    uint64_t heard_ms; /* loop ms */
    int64_t answered;
    int error; /* < 0: why it failed */
    bool frozen, done;
};

struct asking {
    struct alarm alarm; /* first */
    struct holders *holders;
    struct asking *next;
    uint64_t tag;
    held_told *told;
    void *arg;
    struct held sum; /* of a count */
    json_t *listed;
    unsigned asked, said; /* of a count or tally */
    struct tally *tally;  /* of a tally, two: with a socket, and without */
    struct holder *holder;
    unsigned count; /* of `holder` */
    uint32_t kind;  /* NOTE_COUNT, NOTE_TALLY or NOTE_RELEASE */
};

static void asking_free(struct asking *k)
{
    struct asking **p = &k->holders->askings;

    while (*p != k)
        p = &(*p)->next;
    *p = k->next;
    loop_alarm_off(k->holders->loop, &k->alarm);
    json_decref(k->listed);
    free(k->tally);
    free(k->holder);
    free(k);
}

/* ---- the end ---- */

static const char *reason(const struct holder *o)
{
    const char *text = strerrordesc_np(-o->error);

    return o->error == 0              ? "no answer within 1.5 s"
           : o->error == -EAGAIN      ? "its channel is full"
           : o->error == -ENOTCONN    ? "it is not running"
           : o->error == -EINPROGRESS ? "it is starting"
           : text                     ? text
                                      : "an unknown error";
}

static bool has_answered(const struct holder *o)
{
    return o->done && o->error == 0;
}

/* Only one freezer at a time has the table. If one has answered, others have no holds (they are
 * starting, or ending after a reload). */
static void sum_up(const struct asking *k, struct held *h, struct buf *names)
{
    bool thawed = false;

    if (k->count < k->asked) { /* there was no memory for them */
        h->missing += k->asked - k->count;
        (void)buf_addf(names, "%u processes (no memory for their answers)", k->asked - k->count);
    }
    for (unsigned i = 0; i < k->count; i++)
        thawed |= k->holder[i].frozen && has_answered(&k->holder[i]);
    for (unsigned i = 0; i < k->count; i++) {
        const struct holder *o = &k->holder[i];
        *(o->frozen ? &h->frozen : &h->held) += o->answered;
        if (has_answered(o) || (o->frozen && thawed))
            continue;
        h->missing++;
        (void)buf_addf(names, "%s%s (%s)", names->len ? ", " : "", o->name, reason(o));
    }
}

static void finish(struct asking *k)
{
    struct held h = k->sum;
    struct buf names = {0};

    h.listed = k->listed;
    for (int i = 0; k->tally && i < 2; i++)
        h.tally[i] = &k->tally[i];
    if (k->kind == NOTE_RELEASE)
        sum_up(k, &h, &names);
    else
        h.missing += k->asked - k->said;
    if (k->kind == NOTE_RELEASE && !h.known) {
        h.missing = 1;
        (void)buf_addf(&names, "the master (no answer within 1.5 s)");
    }
    (void)buf_add(&names, "", 1);
    h.names = names.at ? names.at : "";
    k->told(k->arg, &h);
    buf_free(&names);
    asking_free(k);
}

/* Ends when all processes are done or have been silent for too long; else checks again when the
 * next one could be too late. */
static void look(struct asking *k)
{
    struct loop *loop = k->holders->loop;
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < k->count; i++) {
        const struct holder *o = &k->holder[i];
        uint64_t until = o->heard_ms + HOLDERS_SILENT_MS;
        if (!o->done && until > loop->now && until < next)
            next = until;
    }
    if (next == UINT64_MAX)
        finish(k);
    else
        loop_alarm(loop, &k->alarm, next);
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    struct asking *k = (struct asking *)a;

    if (k->kind == NOTE_RELEASE && k->sum.known)
        look(k);
    else
        finish(k);
}

/* ---- the beginning ---- */

static int ask_all(struct holders *h, uint32_t kind, const char *text, held_told *told, void *arg,
                   struct asking **out)
{
    struct asking *k = calloc(1, sizeof *k);
    uint64_t tag = ++h->last_tag;

    if (!k)
        return -ENOMEM;
    int error = channel_tell(h->channel, kind, 0, tag, text);
    if (error) {
        free(k);
        return error;
    }
    *k = (struct asking){.alarm = {.due = time_is_up},
                         .holders = h,
                         .next = h->askings,
                         .tag = tag,
                         .told = told,
                         .arg = arg,
                         .listed = json_object(),
                         .kind = kind};
    h->askings = k;
    loop_alarm(h->loop, &k->alarm,
               h->loop->now + (kind == NOTE_RELEASE ? HOLDERS_SILENT_MS : HOLDERS_COUNT_MS));
    *out = k;
    return 0;
}

static int ask_of_network(struct holders *h, uint32_t kind, const struct network *n,
                          held_told *told, void *arg)
{
    char text[ADDR_TEXT];
    struct asking *k;

    return ask_all(h, kind, network_format(n, text), told, arg, &k);
}

int holders_count(struct holders *h, const struct network *n, held_told *told, void *arg)
{
    return ask_of_network(h, NOTE_COUNT, n, told, arg);
}

int holders_release(struct holders *h, const struct network *n, held_told *told, void *arg)
{
    return ask_of_network(h, NOTE_RELEASE, n, told, arg);
}

int holders_tally(struct holders *h, const struct tally *clients, held_told *told, void *arg)
{
    struct tally *both = calloc(2, sizeof *both);
    char text[NOTE_TEXT];
    struct asking *k;

    if (!both)
        return -ENOMEM;
    both[0] = both[1] = *clients;
    tally_format(clients, text, sizeof text);
    int error = ask_all(h, NOTE_TALLY, text, told, arg, &k);
    if (error)
        free(both);
    else
        k->tally = both;
    return error;
}

void holders_forget(struct holders *h, const void *arg)
{
    for (struct asking *k = h->askings, *next; k; k = next) {
        next = k->next;
        if (k->arg == arg)
            asking_free(k);
    }
}

void holders_close(struct holders *h)
{
    while (h->askings)
        finish(h->askings);
}

/* ---- answers ---- */

/* The processes that the master asked, as "NAME,NAME". */
static void take_names(struct asking *k, const struct note *n)
{
    char names[NOTE_TEXT], *rest = names, *name;

    k->holder = calloc((size_t)n->arg + 1, sizeof *k->holder);
    snprintf(names, sizeof names, "%s", n->text);
    while (k->holder && k->count < (unsigned)n->arg) {
        struct holder *o = &k->holder[k->count++];
        name = strsep(&rest, ","); /* NULL: the note had no room for more names */
        snprintf(o->name, sizeof o->name, "%s", name && *name ? name : "another process");
        o->frozen = strncmp(o->name, "the freezer", strlen("the freezer")) == 0;
        o->heard_ms = k->holders->loop->now;
    }
}

static void take_asked(struct asking *k, const struct note *n)
{
    if (n->arg < 0 || n->arg > ASKED_MOST || k->sum.known)
        return;
    k->sum.known = true;
    k->asked = (unsigned)n->arg;
    if (k->kind == NOTE_RELEASE) {
        take_names(k, n);
        look(k);
    } else if (k->said >= k->asked) {
        finish(k);
    }
}

/* Each worker reports what it knows, and most know the same. */
static void add_names(json_t *object, const char *text)
{
    char names[NOTE_TEXT], *rest = names, *name;

    snprintf(names, sizeof names, "%s", text);
    while ((name = strsep(&rest, ",")))
        if (*name)
            json_object_set_new(object, name, json_true()); /* refuses what is no text */
}

static void said(struct asking *k)
{
    k->said++;
    if (k->sum.known && k->said >= k->asked)
        finish(k);
}

/* "held LISTS" or "frozen ". */
static void take_counted(struct asking *k, const struct note *n)
{
    size_t word = strcspn(n->text, " ");

    if (n->arg < 0)
        return;
    *(strncmp(n->text, "frozen", word) == 0 ? &k->sum.frozen : &k->sum.held) += n->arg;
    add_names(k->listed, n->text + word + (n->text[word] != '\0'));
    said(k);
}

/* "held NUMBERS" or "frozen NUMBERS". A process that could not count says so, and counts as
 * missing. */
static void take_tallied(struct asking *k, const struct note *n)
{
    size_t word = strcspn(n->text, " ");
    bool frozen = strncmp(n->text, "frozen", word) == 0;

    if (n->arg < 0 || n->text[word] == '\0' ||
        !tally_add_counts(&k->tally[frozen], n->text + word + 1))
        k->sum.missing++;
    said(k);
}

/* "held|frozen more|done NAME". */
static void take_released(struct asking *k, const struct note *n)
{
    char kind[8], state[8];
    int at = 0;

    if (!k->sum.known)
        return;
    if (sscanf(n->text, "%7s %7s %n", kind, state, &at) != 2)
        return;
    for (unsigned i = 0; i < k->count; i++) {
        struct holder *o = &k->holder[i];
        if (o->done || strcmp(o->name, n->text + at) != 0)
            continue;
        o->heard_ms = k->holders->loop->now;
        o->frozen = strcmp(kind, "frozen") == 0;
        o->done = n->arg < 0 || strcmp(state, "done") == 0;
        if (n->arg < 0)
            o->error = n->arg == INT32_MIN ? -EPROTO : n->arg; /* one that has no positive */
        else
            o->answered = n->arg;
    }
    look(k);
}

void holders_note(struct holders *h, const struct note *n)
{
    uint32_t kind = n->kind == NOTE_RELEASED  ? NOTE_RELEASE
                    : n->kind == NOTE_COUNTED ? NOTE_COUNT
                    : n->kind == NOTE_TALLIED ? NOTE_TALLY
                                              : n->kind;
    struct asking *k = h->askings;

    while (k && k->tag != n->tag)
        k = k->next;
    if (!k || k->kind != kind)
        return;
    switch (n->kind) {
    case NOTE_COUNT:
    case NOTE_TALLY:
    case NOTE_RELEASE: take_asked(k, n); break;
    case NOTE_COUNTED: take_counted(k, n); break;
    case NOTE_TALLIED: take_tallied(k, n); break;
    case NOTE_RELEASED: take_released(k, n); break;
    default: break;
    }
}
