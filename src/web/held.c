/* How many connections of a client are held, and which lists name it, for `show`. In the web
 * process, which has none of them and asks no list: they are in the workers and in the freezer.
 *
 *   web --NOTE_COUNT--> master --> every worker and freezer, of all generations
 *   web <--NOTE_COUNT-- master: how many it asked
 *   web <--NOTE_COUNTED-- master <-- each of them
 *
 * The command answers when all have told, or after PATIENCE_MS with what came: one that has died
 * meanwhile, hangs, or is of a version that does not know the question is only missed, and the
 * answer says how many are missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query/notes.h"
#include "web/web_part.h"

enum { PATIENCE_MS = 300 };

struct counting {
    struct alarm alarm; /* first */
    struct web *web;
    struct counting *next; /* in web->countings */
    uint64_t tag;
    struct control *control; /* who has asked; NULL: `tell` gets the numbers */
    held_told *tell;
    void *arg;
    held_then *then;         /* NULL: the answer is the result */
    json_t *answer, *listed; /* an object with each list's name */
    bool known;              /* how many were asked */
    int64_t asked, told, held, frozen;
};

static void drop(void *state)
{
    struct counting *k = state, **p = &k->web->countings;

    while (*p != k)
        p = &(*p)->next;
    *p = k->next;
    loop_alarm_off(&k->web->loop, &k->alarm);
    json_decref(k->answer);
    json_decref(k->listed);
    free(k);
}

static void give_up(struct control *c)
{
    c->tag = 0; /* what is counted for it goes with the connection */
}

static json_t *names_of(json_t *object)
{
    json_t *names = json_array(), *any;
    const char *name;

    json_object_foreach(object, name, any)
    {
        json_array_append_new(names, json_string(name));
    }
    return names;
}

/* Each worker tells what it knows, and most know the same. */
static void add_names(json_t *object, const char *text)
{
    char names[NOTE_TEXT], *rest = names, *name;

    snprintf(names, sizeof names, "%s", text);
    while ((name = strsep(&rest, ",")))
        if (*name)
            json_object_set_new(object, name, json_true()); /* refuses what is no text */
}

static void give(struct control *c, held_then *then, json_t *answer)
{
    if (then)
        then(c, answer);
    else
        control_done(c, answer);
}

/* Nothing is said of connections when nobody could be asked. */
static void finish(struct counting *k)
{
    struct control *c = k->control;
    json_t *counted =
        k->known ? json_pack("{s:I, s:I, s:I, s:o}", "held", (json_int_t)k->held, "frozen",
                             (json_int_t)k->frozen, "unanswered", (json_int_t)(k->asked - k->told),
                             "listed", names_of(k->listed))
                 : NULL;

    if (!c) {
        k->tell(k->arg, counted);
        drop(k);
        return;
    }
    json_object_update(k->answer, counted);
    json_decref(counted);
    give(c, k->then, json_incref(k->answer));
    c->tag = 0;
    c->given_up = NULL;
    c->drop = NULL;
    c->state = NULL;
    drop(k);
    control_resume(c);
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    finish((struct counting *)a);
}

/* Asks everybody; NULL: that cannot be done. */
static struct counting *ask_all(struct web *w, const struct network *n)
{
    struct counting *k = calloc(1, sizeof *k);
    char text[ADDR_TEXT];
    uint64_t tag = ++w->last_tag;

    network_format(n, text);
    if (!k || channel_tell(w->params->control, NOTE_COUNT, 0, tag, text) < 0) {
        free(k);
        return NULL;
    }
    *k = (struct counting){.alarm = {.due = time_is_up},
                           .web = w,
                           .next = w->countings,
                           .tag = tag,
                           .listed = json_object()};
    w->countings = k;
    loop_alarm(&w->loop, &k->alarm, w->loop.now + PATIENCE_MS);
    return k;
}

void held_answer(struct control *c, const struct network *n, json_t *answer, held_then *then)
{
    struct counting *k = ask_all(c->web, n);

    if (!k) {
        give(c, then, answer);
        return;
    }
    k->control = c;
    k->then = then;
    k->answer = answer;
    c->tag = k->tag;
    c->given_up = give_up;
    c->state = k;
    c->drop = drop;
}

bool held_count(struct web *w, const struct network *n, held_told *told, void *arg)
{
    struct counting *k = ask_all(w, n);

    if (k) {
        k->tell = told;
        k->arg = arg;
    }
    return k != NULL;
}

void held_close(struct web *w)
{
    for (struct counting *k = w->countings, *next; k; k = next) {
        next = k->next;
        if (!k->control)
            finish(k);
    }
}

/* Whose question it is; NULL: nobody waits for it any more. */
static struct counting *counting_of(const struct web *w, const struct note *n)
{
    struct counting *k = w->countings;

    while (k && k->tag != n->tag)
        k = k->next;
    return k && (!k->control || k->control->tag) ? k : NULL;
}

void held_asked(const struct web *w, const struct note *n)
{
    struct counting *k = counting_of(w, n);

    if (!k)
        return;
    k->known = true;
    k->asked = n->arg;
    if (k->told >= k->asked)
        finish(k);
}

void held_counted(const struct web *w, const struct note *n)
{
    struct counting *k = counting_of(w, n);

    if (!k || n->arg < 0)
        return;
    size_t word = strcspn(n->text, " ");
    *(strncmp(n->text, "frozen", word) == 0 ? &k->frozen : &k->held) += n->arg;
    add_names(k->listed, n->text + word + (n->text[word] != '\0'));
    k->told++;
    if (k->known && k->told >= k->asked)
        finish(k);
}
