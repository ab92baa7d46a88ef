/* Shadows on the heap, where each allocation may fail: from many sets of shadows that the invariants of
 * their table allow, a call of any function has no undefined behaviour and leaves such a set again.
 *
 * Each way to link the lists is a path of its own: how many shadows there are, where each is in the
 * chains, how many steps it has. All else in them may be anything, and so may the tarpit's answers.
 * Shadows have the numbers in which the heap has them: a number is only compared with others. */
#include "any_addr.h"
#include "any_rules.h"

#include "tarpit/shadow_part.h"

enum { CHAINS = SHADOW_BUCKETS };

/* ---- the tarpit ---- */

static struct tarpit_hold any_hold(void)
{
    return (struct tarpit_hold){.ms = any_number,
                                .masked = any_choice & 1,
                                .rule = (uint8_t)Frama_C_interval(0, RULE_COUNT - 1)};
}

static void read_all(struct span text)
{
    //@ assert text_is_there: text.len == 0 || \valid_read(text.at + (0 .. text.len - 1));
}

struct tarpit_hold tarpit_wait(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    return any_hold();
}

struct tarpit_hold tarpit_greet(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    return any_hold();
}

void tarpit_greeted(struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
}

struct tarpit_permit tarpit_ask_password(struct tarpit *t, const struct tarpit_who *who,
                                         struct span user, uint64_t now)
{
    read_all(user);
    return (struct tarpit_permit){
        .hold = any_hold(), .masked = any_choice & 1, .tried = any_number};
}

struct tarpit_permit tarpit_ask_recipient(struct tarpit *t, const struct tarpit_who *who,
                                          uint64_t mailbox, uint64_t now)
{
    return tarpit_ask_password(t, who, (struct span){0}, now);
}

struct tarpit_hold tarpit_verdict(struct tarpit *t, const struct tarpit_who *who, struct span user,
                                  const struct tarpit_permit *permit, enum offence offence,
                                  uint64_t now)
{
    read_all(user);
    return any_hold();
}

struct tarpit_hold tarpit_offence(struct tarpit *t, const struct tarpit_who *who,
                                  enum offence offence, uint64_t now)
{
    return any_hold();
}

void tarpit_good(struct tarpit *t, const struct tarpit_who *who, const uint64_t *mailbox,
                 uint32_t count, uint64_t now)
{
    //@ assert mailboxes_are_there: count == 0 || \valid_read(mailbox + (0 .. count - 1));
}

bool tarpit_has_delivered(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    return any_choice & 1;
}

/* ---- a set of shadows ---- */

/* One of a chain. */
static uint64_t any_client(unsigned chain)
{
    return up_to(UINT64_MAX / CHAINS) * CHAINS + chain;
}

/* How long the texts of a step are: none, a little, a domain that a note cuts. */
static const struct {
    size_t user, domain;
    uint32_t mailboxes;
} texts_of[] = {{0, 0, 0}, {1, 1, 2}, {0, SHADOW_DOMAIN + 1, 1}};
enum { TEXTS = sizeof texts_of / sizeof *texts_of, A_LITTLE = 1 };

static struct shadow_step any_step(int texts, const uint64_t *mailbox, const char *text)
{
    return (struct shadow_step){
        .kind = (enum shadow_kind)Frama_C_interval(SHADOW_GREET, SHADOW_DELIVERED),
        .offence = (enum offence)Frama_C_interval(OFFENCE_NONE, OFFENCE_COUNT - 1),
        .who = {.client = any_number, .sender_known = any_choice & 1},
        .client = any_addr(),
        .user = {text, texts_of[texts].user},
        .recipient = any_number,
        .domain = {text + texts_of[texts].user, texts_of[texts].domain},
        .mailbox = mailbox,
        .mailboxes = texts_of[texts].mailboxes};
}

static struct queued *any_queued(int texts)
{
    size_t mailboxes = texts_of[texts].mailboxes * sizeof(uint64_t);
    size_t size = mailboxes + texts_of[texts].user + texts_of[texts].domain;
    struct queued *q = malloc(sizeof *q + size);

    if (!q)
        return NULL;
    char *text = (char *)q->mailbox;
    if (size)
        Frama_C_make_unknown(text, size);
    *q = (struct queued){.step = any_step(texts, q->mailbox, text + mailboxes), .at = any_number};
    return q;
}

static bool any_queue(struct shadow *x, int steps, int texts)
{
    x->last = &x->first;
    for (int i = 0; i < steps; i++) {
        struct queued *q = any_queued(i ? A_LITTLE : texts);
        if (!q)
            return false;
        *x->last = q;
        x->last = &q->next;
    }
    x->steps = (uint16_t)steps;
    return true;
}

static struct shadow any_shadow(bool used, unsigned chain)
{
    return (struct shadow){.used = used,
                           .attached = any_choice & 1,
                           .stranger = any_choice & 1,
                           .held = any_choice & 1,
                           .put_off = any_choice & 1,
                           .gone = any_choice & 1,
                           .brought = any_choice & 1,
                           .rule = (uint8_t)Frama_C_interval(0, RULE_COUNT - 1),
                           .owner = any_number,
                           .client = any_client(chain),
                           .end = any_number,
                           .at = any_number,
                           .due = any_number,
                           .longest = any_number};
}

/* A shadow can be in CHAINS + i places, if i shadows are in the chains; the first one is in the first
 * chain, because no chain is special. */
static unsigned places(unsigned i)
{
    return i ? CHAINS + i : 1;
}

static unsigned ways(unsigned count)
{
    unsigned n = 1;

    while (count--)
        n *= places(count);
    return n;
}

static void put(struct shadows *s, unsigned i, unsigned place)
{
    unsigned chain = 0;
    uint32_t *at = &s->of_client[0];

    for (; place > 0; place--)
        at = *at ? &s->at[*at - 1].next_of_client : &s->of_client[++chain];
    s->at[i] = any_shadow(true, chain);
    s->at[i].next_of_client = *at;
    *at = i + 1;
    s->at[i].heap_at = s->heap[i] = i;
}

static void wait_for_a_retry(struct shadow *x)
{
    x->attached = false;
    x->retry_ms = 1 + (uint32_t)up_to(SHADOW_RETRY_MOST_MS - 1);
    x->first->step.kind = SHADOW_GOOD;
}

struct shape {
    unsigned count, way;
    unsigned subject; /* all others have one step */
    int steps, texts; /* the subject's */
    bool retries;     /* the subject, if it has one step, and the others wait for a retry */
};

static bool any_shadows(struct shadows *s, const struct shape *to)
{
    unsigned way = to->way;

    s->count = to->count;
    s->strangers = (uint32_t)any_number;
    s->free = to->count < SHADOWS_MOST ? to->count + 1 : 0;
    for (unsigned i = 0; i < to->count; i++) {
        bool subject = i == to->subject;
        int steps = subject ? to->steps : 1;
        put(s, i, way % places(i));
        way /= places(i);
        if (!any_queue(&s->at[i], steps, subject ? to->texts : A_LITTLE))
            return false;
        if (to->retries && steps == 1)
            wait_for_a_retry(&s->at[i]);
        s->steps += (uint32_t)steps;
    }
    for (unsigned i = to->count; i < SHADOWS_MOST; i++) {
        s->at[i] = any_shadow(false, 0);
        s->at[i].next_of_client = i + 1 < SHADOWS_MOST ? i + 2 : 0;
    }
    return true;
}

/* ---- whether it is such a set ---- */

static unsigned check_queue(const struct shadow *x)
{
    unsigned n = 0;
    struct queued *const *end = &x->first;

    for (struct queued *q = x->first; q; q = q->next) {
        read_all(q->step.user);
        read_all(q->step.domain);
        end = &q->next;
        n++;
    }
    unsigned steps = x->steps, retry_ms = x->retry_ms, rule = x->rule;
    //@ assert its_steps: x->last == end && steps == n;
    if (retry_ms) {
        //@ assert a_retry_waits: n == 1 && x->first->step.kind == SHADOW_GOOD;
        //@ assert not_for_long: retry_ms <= SHADOW_RETRY_MOST_MS && x->attached == 0;
    }
    //@ assert its_rule: rule < RULE_COUNT;
    return n;
}

static unsigned check_chains(const struct shadows *s)
{
    unsigned n = 0;

    for (unsigned chain = 0; chain < CHAINS; chain++)
        for (uint32_t i = s->of_client[chain]; i; i = s->at[i - 1].next_of_client) {
            const struct shadow *x = &s->at[i - 1];
            //@ assert its_chain: x->used == 1 && x->client % CHAINS == chain;
            n++;
        }
    return n;
}

static void check(const struct shadows *s)
{
    unsigned steps = 0, unused = 0, chained = check_chains(s);

    for (unsigned at = 0; at < s->count; at++) {
        uint32_t i = s->heap[at];
        //@ assert its_place: i < SHADOWS_MOST && s->at[i].used == 1 && s->at[i].heap_at == at;
        steps += check_queue(&s->at[i]);
    }
    for (uint32_t i = s->free; i; i = s->at[i - 1].next_of_client) {
        //@ assert unused: s->at[i - 1].used == 0;
        unused++;
    }
    //@ assert all: chained == s->count && unused == SHADOWS_MOST - s->count && steps == s->steps;
}

static void check_note(const struct shadow_note *n)
{
    unsigned rule = n->rule, of_hold = n->hold.rule;

    //@ assert ends: n->domain[SHADOW_DOMAIN - 1] == 0;
    //@ assert a_rule: rule < RULE_COUNT && of_hold < RULE_COUNT;
}

/* ---- calls ---- */

/* A connection's handle, and a number that no other connection has. */
struct connection {
    uint32_t handle;
    uint64_t owner;
};

static void step(struct shadows *s, const struct connection *c, int texts, unsigned chain)
{
    uint32_t handle = c->handle;
    uint64_t mailbox[2] = {any_number, any_number};
    char text[SHADOW_DOMAIN + 2];
    struct shadow_note n;

    Frama_C_make_unknown(text, sizeof text);
    struct shadow_step step = any_step(texts, mailbox, text);
    step.who.client = any_client(chain);
    if (shadow_step(s, &handle, c->owner, &step, any_number, &n))
        check_note(&n);
    if (handle != c->handle && handle > 0 && handle <= SHADOWS_MOST) {
        //@ assert a_shadow: s->at[handle - 1].used == 1;
    }
}

static void call_of(struct shadows *s, const struct connection *c, bool any_texts)
{
    uint8_t rule;

    for (int texts = 0; texts < TEXTS; texts++)
        for (unsigned chain = 0; chain < CHAINS; chain++)
            if ((any_texts || texts == A_LITTLE) && any_choice) {
                step(s, c, texts, chain);
                return;
            }
    if (any_choice)
        (void)shadow_lag(s, c->handle, c->owner, any_number, &rule);
    else
        shadow_leave(s, c->handle, c->owner);
}

/* The connection of the subject, or one without a shadow. */
static void connection(struct shadows *s, const struct shape *from)
{
    struct connection c = {0, any_number};

    if (from->subject < from->count) {
        c = (struct connection){from->subject + 1, 1};
        s->at[from->subject].attached = true;
        s->at[from->subject].owner = c.owner;
    } else if (from->way == 0 && any_choice) {
        /* of none, of one that is not there any more, or of one that is another's by now */
        c.handle = any_choice ? Frama_C_unsigned_int_interval(SHADOWS_MOST + 1, UINT32_MAX)
                   : any_choice && from->count < SHADOWS_MOST ? from->count + 1
                                                              : 1;
    }
    call_of(s, &c, from->way == 0);
}

static void next(struct shadows *s)
{
    struct shadow_note n;

    if (any_choice) {
        if (shadows_due(s, up_to(UINT64_MAX - 1), &n))
            check_note(&n);
    } else if (any_choice) {
        if (shadows_end(s, &n))
            check_note(&n);
    } else {
        (void)shadows_next(s);
    }
}

/* The path ends here, so that EVA compares no two sets. */
static void follow(const struct shape *from)
{
    static struct tarpit tarpit; /* nothing here reads it */
    struct shadows *s;

    if (shadows_open(&s, &tarpit) < 0 || !any_shadows(s, from))
        exit(0);
    if (from->texts == A_LITTLE && !from->retries && any_choice)
        connection(s, from);
    else if (from->subject == 0 && any_choice)
        next(s);
    else {
        shadows_close(s);
        exit(0);
    }
    check(s);
    exit(0);
}

/* With one way of the chains: texts of each length, and retries, which are looked at when they are due. */
static bool is_another(const struct shape *s)
{
    bool first = s->way == 0 && s->subject == 0;

    return (s->subject < s->count || s->steps == 0) && (!s->retries || first) &&
           (s->texts == A_LITTLE || (first && s->steps > 0));
}

static void subjects(struct shape s)
{
    for (s.subject = 0; s.subject <= s.count; s.subject++)
        for (s.steps = 0; s.steps <= SHADOW_STEPS; s.steps++)
            for (s.texts = 0; s.texts < TEXTS; s.texts++)
                for (int retries = 0; retries < 2; retries++) {
                    s.retries = retries;
                    if (is_another(&s) && any_choice)
                        follow(&s);
                }
}

/* With the most shadows: one way of the chains. */
int main(void)
{
    struct shape s = {0};

    for (; s.count <= SHADOWS_MOST; s.count++)
        for (s.way = 0; s.way < (s.count < SHADOWS_MOST ? ways(s.count) : 1); s.way++)
            if (any_choice) {
                subjects(s);
                return 0;
            }
    return 0;
}
