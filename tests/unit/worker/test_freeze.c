/* R18: which holds go to the freezer, and when; what it does not take is held on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>

#include "fake.h"
#include "query/notes.h"
#include "smtp/command.h"
#include "worker/budget.h"
#include "worker/freeze.h"
#include "worker/held.h"
#include "worker/hold.h"
#include "worker/thaw.h"
#include "worker/tls.h"
#include "worker/tls_stash.h"

enum { SECOND = 1000, AFTER = 10 * SECOND };
#define WHO "192.0.2.7"

static struct fake f;

static int setup(void **state)
{
    fake_open(&f);
    f.w->tarpit.rules.freeze = FREEZE_AUTO;
    f.w->tarpit.rules.freeze_after = AFTER;
    f.w->tarpit.rules.patience_offences = 0;
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    return 0;
}

/* Held for an offence, as a client behind a balancer: then its address goes with it. */
static struct fake_client held_from(const char *address)
{
    struct fake_client client = fake_connect(&f, address);

    client.c->flags |= CONN_PROXIED;
    fake_say(&f, &client, "NONSENSE\r\n");
    assert_int_equal(client.c->phase, CONN_HELD);
    fake_heard(&client);
    return client;
}

static struct fake_client held(void)
{
    return held_from(WHO);
}

/* How many connections the freezer has been given; they are closed. */
static unsigned frozen(void)
{
    static struct handoff batch;
    unsigned n = 0;

    while (f.freezer >= 0 && handoff_read(f.freezer, &batch) == 1)
        for (uint32_t i = 0; i < batch.count; i++) {
            n += batch.item[i].kind == HANDOFF_HOLD;
            close(batch.item[i].fd);
        }
    return n;
}

static void test_a_long_hold_goes_after_freeze_after_and_not_before(void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();

    assert_int_equal(client.c->flags & CONN_FREEZE, CONN_FREEZE);
    fake_pass(&f, AFTER - 1);
    assert_int_equal(frozen(), 0);
    fake_pass(&f, 100);
    assert_int_equal(frozen(), 1);
    assert_int_equal(f.w->open, 0);
    assert_int_equal(f.w->guard.held, 0);
}

/* What a hold must be to go: each row changes one thing. */
static void test_what_is_frozen_and_what_is_held_here(void **state)
{
    static const struct {
        const char *name;
        unsigned goes;
        uint64_t time, after; /* 0: as in setup() */
        bool no_freezer, does_not_work, off, said_more, stops, patient, waits_to_write;
    } cases[] = {
        {"a long hold", 1},
        {"there is no freezer", 0, .no_freezer = true},
        {"the freezer does not work", 0, .does_not_work = true},
        {"freeze is off", 0, .off = true},
        {"the client has said more meanwhile", 0, .said_more = true},
        {"octets of ours are in flight", 0, .waits_to_write = true},
        {"the worker stops", 0, .stops = true},
        {"a client of few offences", 0, .patient = true},
        {"a hold of exactly freeze_after", 0, .time = AFTER},
        {"a hold that is hardly longer", 0, .time = AFTER + 500},
        {"one that is long enough", 1, .time = AFTER + 501},
        {"a later freeze_after", 0, .after = 25 * SECOND},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        teardown(NULL);
        setup(NULL);
        struct tarpit_rules *rules = &f.w->tarpit.rules;
        rules->time = cases[i].time ? cases[i].time : rules->time;
        rules->freeze_after = cases[i].after ? cases[i].after : rules->freeze_after;
        rules->patience_offences = cases[i].patient ? 5 : 0;
        if (cases[i].off)
            rules->freeze = FREEZE_OFF;
        if (!cases[i].no_freezer)
            fake_freezer(&f);
        atomic_store(&f.shared.working, !cases[i].does_not_work);
        struct fake_client client = fake_connect(&f, WHO);
        f.w->stopping = cases[i].stops;
        client.c->flags |= CONN_PROXIED;
        fake_say(&f, &client, cases[i].said_more ? "NONSENSE\r\nNOOP\r\n" : "NONSENSE\r\n");
        if (cases[i].stops) { /* else the connection ends with its reply */
            f.w->stopping = false;
            assert_int_equal(client.c->flags & CONN_FREEZE, 0);
        }
        if (cases[i].waits_to_write)
            client.c->work = calloc(1, sizeof *client.c->work);
        fake_pass(&f, rules->freeze_after + SECOND);
        unsigned went = frozen();
        if (went != cases[i].goes)
            fail_msg("%s: %u went to the freezer", cases[i].name, went);
        if (!went && !fake_is_open(&f, &client))
            fail_msg("%s: it is gone", cases[i].name);
        fake_pass(&f, 60 * SECOND);
        if (!went && !strstr(fake_heard(&client), "500 "))
            fail_msg("%s: its reply is missing", cases[i].name);
    }
}

static void test_what_the_freezer_does_not_take_is_held_here_and_answered_in_time(void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();

    close(f.freezer);
    f.freezer = -1;
    fake_pass(&f, AFTER + SECOND);
    assert_true(fake_is_open(&f, &client));
    assert_int_equal(f.w->guard.held, 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 20 * SECOND - AFTER - SECOND - 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 1);
    assert_non_null(strstr(fake_heard(&client), "500 "));
    assert_int_equal(f.w->guard.held, 0);
}

static void test_a_connection_that_comes_back_is_answered_and_goes_on(void **state)
{
    static struct handoff batch;
    fake_freezer(&f);
    struct fake_client client = held();

    fake_pass(&f, AFTER + 100);
    assert_int_equal(handoff_read(f.freezer, &batch), 1);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.item[0].due_ms, f.w->loop.wall + 20 * SECOND - AFTER - 100);
    int fd = batch.item[0].fd;
    batch.item[0].direct = true;
    fake_pass(&f, 20 * SECOND);
    assert_int_equal(handoff_send(f.freezer, &batch), 0);
    close(fd);
    fake_turn(&f);
    assert_non_null(strstr(fake_heard(&client), "500 "));
    fake_say(&f, &client, "QUIT\r\n");
    fake_pass(&f, 60 * SECOND);
    assert_non_null(strstr(fake_heard(&client), "221 "));
    assert_int_equal(f.w->open, 0);
}

static int taken_out[4];

/* Lets the freezer take what is frozen. Sends it back with these addresses, `later` ms before it is
 * due. */
static void comes_back(const struct addr *local, uint64_t later)
{
    static struct handoff batch;

    assert_int_equal(handoff_read(f.freezer, &batch), 1);
    assert_true(batch.count <= sizeof taken_out / sizeof taken_out[0]);
    for (uint32_t i = 0; i < batch.count; i++) {
        taken_out[i] = batch.item[i].fd;
        batch.item[i].due_ms = f.w->loop.wall + later;
        batch.item[i].direct = true; /* the freezer knows both ends, which are no addresses here */
        if (local)
            batch.item[i].local = *local;
    }
    uint32_t count = batch.count;
    assert_int_equal(handoff_send(f.freezer, &batch), 0);
    for (uint32_t i = 0; i < count; i++)
        close(taken_out[i]);
    fake_turn(&f);
}

/* While it was frozen others have taken all room. It hears what is due, and takes none. */
static void test_a_connection_that_comes_back_without_room_hears_its_reply_and_421(void **state)
{
    for (int later = 0; later < 2; later++) {
        teardown(NULL);
        setup(NULL);
        fake_freezer(&f);
        struct fake_client client = held();
        fake_pass(&f, AFTER + 100);
        assert_int_equal(f.w->open, 0);
        f.w->open_max = 2;
        f.w->open_reserve_from = 1; /* the rest is for clients without debt */
        struct fake_client good = fake_connect(&f, "198.51.100.1");
        comes_back(NULL, later ? 5 * SECOND : 0);
        const char *heard = fake_heard(&client);
        if (later)
            assert_null(strstr(heard, "500 "));
        else
            assert_non_null(strstr(heard, "500 "));
        assert_non_null(strstr(heard, "421 "));
        assert_int_equal(f.w->open, 1);
        assert_int_equal(f.w->guard.held, 0);
        assert_true(fake_is_open(&f, &good));
    }
}

static void release(const char *network)
{
    struct note n = {.kind = NOTE_RELEASE, .len = (uint32_t)strlen(network)};

    memcpy(n.text, network, n.len);
    held_release(f.w, &n);
}

/* A release that meets a connection on its way finds it nowhere: the freezer could not freeze it and
 * has it no more, and this worker does not have it yet. */
static void test_a_connection_that_was_released_on_its_way_back_is_answered_at_once(void **state)
{
    static const struct {
        const char *name, *release;
        uint64_t ago;
        bool answered;
    } cases[] = {
        {"none", NULL, 0, false},
        {"its own", WHO, 0, true},
        {"of its network", "192.0.2.0/24", 100, true},
        {"of everybody", "0.0.0.0/0", 1900, true},
        {"of another", "192.0.2.8", 0, false},
        {"long ago", WHO, 2 * SECOND, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        teardown(NULL);
        setup(NULL);
        fake_freezer(&f);
        struct fake_client client = held();
        fake_pass(&f, AFTER + 100);
        if (cases[i].release)
            release(cases[i].release);
        fake_pass(&f, cases[i].ago);
        comes_back(NULL, 5 * SECOND);
        bool answered = strstr(fake_heard(&client), "500 ") != NULL;
        if (answered != cases[i].answered)
            fail_msg("%s: %s", cases[i].name, answered ? "answered" : "not answered");
        fake_pass(&f, 5 * SECOND);
        if (!answered && !strstr(fake_heard(&client), "500 "))
            fail_msg("%s: it is never answered", cases[i].name);
    }
}

static void test_what_the_freezer_did_not_take_while_its_client_was_released_is_answered(
    void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();
    close(f.freezer);
    f.freezer = -1;
    fake_pass(&f, AFTER - 1);
    f.w->loop.now++; /* the turn: its timers put the hold into the batch, then it reads the note */
    f.w->loop.wall++;
    assert_true(freeze_try(f.w, client.c));
    release(WHO);
    freeze_flush(f.w);
    fake_turn(&f);
    assert_non_null(strstr(fake_heard(&client), "500 "));
}

/* A reply that is due takes no place among the held ones, so nobody is closed for it. */
static void test_a_connection_that_comes_back_when_it_is_due_closes_no_held_one(void **state)
{
    f.w->tarpit.rules.pace = false;
    fake_freezer(&f);
    struct fake_client client = held();
    fake_pass(&f, AFTER + 100);
    struct fake_client other = held();
    f.w->held_max = 1;
    comes_back(NULL, 0);
    assert_non_null(strstr(fake_heard(&client), "500 "));
    assert_true(fake_is_open(&f, &client) && fake_is_open(&f, &other));
    assert_int_equal(f.w->guard.held, 1);
}

/* One address that has frozen many gets as many back as it could have opened. */
static void test_what_comes_back_counts_in_its_clients_share(void **state)
{
    enum { MANY = 4 };
    struct fake_client client[MANY];
    unsigned answered = 0;

    f.w->tarpit.rules.pace = false;
    fake_freezer(&f);
    for (int i = 0; i < MANY; i++)
        client[i] = held();
    fake_pass(&f, AFTER + 100);
    f.w->open_max = f.w->open_reserve_from = 40;
    budget_limit(f.w->budget, BUDGET_CONNECTIONS, 0, 2); /* the least that each client may have */
    comes_back(NULL, 0);
    for (int i = 0; i < MANY; i++)
        answered += strstr(fake_heard(&client[i]), "500 ") != NULL;
    assert_int_equal(answered, MANY);
    assert_int_equal(f.w->open, 2);
}

static struct addr at(const char *text, uint16_t port)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    a.port = port;
    return a;
}

static void test_a_connection_comes_back_to_the_listener_that_it_has_come_by(void **state)
{
    static const struct {
        const char *local;
        uint16_t port, listener;
    } cases[] = {
        {"192.0.2.1", 25, 0},   {"192.0.2.9", 25, 1},  {"192.0.2.2", 25, 3},
        {"2001:db8::1", 25, 2}, {"192.0.2.1", 465, 4}, {"2001:db8::7", 465, 4},
        {"192.0.2.77", 587, 5},
    };
    struct config_listen listen[] = {
        {.addr = at("192.0.2.1", 25)}, {.addr = at("0.0.0.0", 25)}, {.addr = at("::", 25)},
        {.addr = at("192.0.2.2", 25)}, {.addr = at("::", 465)},     {.addr = at("192.0.2.1", 587)},
    };
    enum { LISTENERS = sizeof listen / sizeof listen[0] };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        teardown(NULL);
        setup(NULL);
        f.w->service = realloc(f.w->service, LISTENERS * sizeof *f.w->service);
        assert_non_null(f.w->service);
        for (int k = 1; k < LISTENERS; k++)
            f.w->service[k] = f.w->service[0];
        fake_freezer(&f);
        struct fake_client client = held();
        fake_pass(&f, AFTER + 100);
        f.config.listen = listen;
        f.config.listen_count = LISTENERS;
        struct addr local = at(cases[i].local, cases[i].port);
        comes_back(&local, 60 * SECOND);
        unsigned found = 0;
        for (int k = 0; k < GUARD_LEVELS; k++) {
            struct ring *level = &f.w->guard.level[k];
            for (struct ring *link = level->next; link != level; link = link->next, found++)
                if (conn_of_link(link)->listener != cases[i].listener)
                    fail_msg("%s %u: listener %u", cases[i].local, cases[i].port,
                             conn_of_link(link)->listener);
        }
        assert_int_equal(found, 1);
        assert_true(client.c != NULL);
    }
}

/* ---- records that a worker, or a freezer, that was taken over has written ---- */

enum { RECORD_HEAD = 24 }; /* octets before the session's own record */

/* Puts another session into a frozen item's record. */
static void forge(struct handoff_item *item, struct smtp_session *s)
{
    static struct buf record;

    record.len = 0;
    assert_int_equal(buf_add(&record, item->session.at, RECORD_HEAD), 0);
    assert_int_equal(session_freeze(s, &record), 0);
    item->session = buf_span(&record);
}

static void add_recipient(struct smtp_session *s, const char *address)
{
    if (!envelope_has_sender(&s->envelope))
        assert_int_equal(envelope_set_sender(&s->envelope, SPAN("a@b.test"), (struct span){0}), 0);
    assert_int_equal(envelope_add_recipient(&s->envelope, span_of(address), (struct span){0}), 0);
    s->state = STATE_RECIPIENTS;
}

static void test_a_record_that_claims_what_nobody_has_checked_ends_its_connection(void **state)
{
    static const struct {
        const char *name, *recipient, *relay;
        uint16_t flags;
        bool stays, on_this_machine;
    } cases[] = {
        {"as it was", .stays = true},
        {"a login", .flags = SMTP_AUTHENTICATED},
        {"TLS", .flags = SMTP_TLS_ON},
        {"a client of this machine", .flags = SMTP_LOCAL},
        {"one that is", .flags = SMTP_LOCAL, .on_this_machine = true, .stays = true},
        {"a recipient of ours", .recipient = "alice@example.org", .stays = true},
        {"one in other letters", .recipient = "alice@EXAMPLE.org", .stays = true},
        {"the postmaster", .recipient = "postmaster", .stays = true},
        {"a recipient elsewhere", .recipient = "alice@example.com"},
        {"one at no domain", .recipient = "alice@"},
        {"one elsewhere, from a network of relay", .recipient = "alice@example.com",
         .relay = "192.0.2.0/24", .stays = true},
        {"one elsewhere, from another network", .recipient = "alice@example.com",
         .relay = "198.51.100.0/24"},
        {"a login from a network of relay", .flags = SMTP_AUTHENTICATED, .relay = "192.0.2.0/24"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct handoff batch, lie;
        struct smtp_session s;
        struct network relay;

        teardown(NULL);
        setup(NULL);
        fake_freezer(&f);
        struct fake_client client = held_from(cases[i].on_this_machine ? "127.0.0.2" : WHO);
        fake_pass(&f, AFTER + 100);
        assert_int_equal(handoff_read(f.freezer, &batch), 1);
        struct handoff_item item = batch.item[0];
        assert_int_equal(session_thaw(&s, span_after(item.session, RECORD_HEAD)), 0);
        s.flags |= cases[i].flags;
        if (cases[i].recipient)
            add_recipient(&s, cases[i].recipient);
        forge(&item, &s);
        smtp_free(&s);
        if (cases[i].relay) {
            assert_true(network_parse(span_of(cases[i].relay), &relay));
            f.config.relay = (struct config_networks){.at = &relay, .count = 1};
        }
        item.direct = true;
        lie.count = lie.used = 0;
        assert_int_equal(handoff_add(&lie, &item), 0);
        assert_int_equal(handoff_send(f.freezer, &lie), 0);
        close(item.fd);
        fake_turn(&f);
        if (f.w->open != cases[i].stays)
            fail_msg("%s: %u are open", cases[i].name, f.w->open);
        if (cases[i].stays && !fake_is_open(&f, &client))
            fail_msg("%s: it is gone", cases[i].name);
        fake_pass(&f, 20 * SECOND);
        bool told = strstr(fake_heard(&client), "500 ") != NULL;
        if (told != cases[i].stays)
            fail_msg("%s: %s", cases[i].name, told ? "told" : "not told");
        f.config.relay = (struct config_networks){0};
    }
}

/* Behind another `recipient_delimiter`, or with another first domain, a recipient that was accepted may be
 * another mailbox. */
static void test_recipients_of_another_configuration_are_not_taken(void **state)
{
    static char plus[] = "+", other[] = "other.example.org", ours[] = "example.org";
    static char *domains[] = {other, ours};
    static const struct {
        bool recipient, delimiter, domain, cut;
    } cases[] = {{.recipient = true},
                 {.delimiter = true, .domain = true},
                 {.recipient = true, .delimiter = true, .cut = true},
                 {.recipient = true, .domain = true, .cut = true}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        teardown(NULL);
        setup(NULL);
        const struct config before = f.config;
        fake_freezer(&f);
        struct fake_client client = held();
        if (cases[i].recipient)
            add_recipient(&client.c->smtp, "alice+x@example.org");
        fake_pass(&f, AFTER + 100);
        assert_int_equal(f.w->open, 0);
        if (cases[i].delimiter)
            f.config.recipient_delimiter = plus;
        if (cases[i].domain)
            f.config.domains = (struct config_strings){domains, 2};
        comes_back(NULL, 0);
        const char *heard = fake_heard(&client);
        assert_non_null(strstr(heard, "500 "));
        assert_int_equal(strstr(heard, "421 ") != NULL, cases[i].cut);
        assert_int_equal(f.w->open, !cases[i].cut);
        f.config = before;
    }
}

/* A connection over loopback; returns our end, *client the other one. */
static int over_loopback(int *client)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &len), 0);
    assert_int_equal(connect(*client, (struct sockaddr *)&here, len), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    close(listener);
    return fd;
}

/* A freezer says of what it has read in the connection itself that it is `direct`; else the kernel says
 * who is there. */
static void test_a_connection_is_that_of_its_other_end_or_of_whom_a_balancer_names(void **state)
{
    static const struct {
        const char *client, *balancer;
        bool stays;
    } cases[] = {{"127.0.0.1", NULL, true},
                 {WHO, NULL, false},
                 {WHO, "127.0.0.0/8", true},
                 {WHO, "192.0.2.0/24", false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct handoff batch;
        struct network balancer;
        int other;

        teardown(NULL);
        setup(NULL);
        fake_freezer(&f);
        (void)held();
        fake_pass(&f, AFTER + 100);
        assert_int_equal(handoff_read(f.freezer, &batch), 1);
        close(batch.item[0].fd);
        batch.item[0].fd = over_loopback(&other);
        assert_true(addr_parse(span_of(cases[i].client), &batch.item[0].remote));
        batch.item[0].direct = false;
        if (cases[i].balancer) {
            assert_true(network_parse(span_of(cases[i].balancer), &balancer));
            f.listen.proxy_protocol = (struct config_networks){.at = &balancer, .count = 1};
        }
        int fd = batch.item[0].fd;
        assert_int_equal(handoff_send(f.freezer, &batch), 0);
        close(fd);
        fake_turn(&f);
        if (f.w->open != cases[i].stays)
            fail_msg("%s, balancer %s: %u are open", cases[i].client,
                     cases[i].balancer ? cases[i].balancer : "none", f.w->open);
        f.listen.proxy_protocol = (struct config_networks){0};
        close(other);
    }
}

/* So a freezer that was taken over cannot change a session under TLS, nor give it to another client. */
static void test_a_tls_state_goes_with_the_record_that_it_was_kept_for(void **state)
{
    const struct sipkey key = {1, 2}, other_key = {1, 3};
    struct addr client = at(WHO, 0), other = at("192.0.2.8", 0);
    uint64_t seal = thaw_seal(&key, &client, SPAN("record"));
    const uint64_t wrong[] = {0, thaw_seal(&other_key, &client, SPAN("record")),
                              thaw_seal(&key, &other, SPAN("record")),
                              thaw_seal(&key, &client, SPAN("recorD"))};
    struct tls_stash_handle handle;
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    SSL *ssl = SSL_new(context);

    assert_true(tls_stash_put(f.w, ssl, f.w->loop.now + SECOND, &handle));
    tls_stash_seal(f.w, handle, seal);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_null(tls_stash_take(f.w, handle, wrong[i]));
    client.port = 4711; /* another process knows the port, or not */
    assert_int_equal(thaw_seal(&key, &client, SPAN("record")), seal);
    assert_ptr_equal(tls_stash_take(f.w, handle, seal), ssl);
    assert_null(tls_stash_take(f.w, handle, seal));
    SSL_free(ssl);
    SSL_CTX_free(context);
}

static void test_a_tls_state_gets_a_socket_that_does_not_wait(void **state)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    struct fake_client client = fake_connect(&f, WHO);
    int fd = client.c->watch.fd;

    assert_int_equal(fcntl(fd, F_SETFL, O_RDWR), 0);
    assert_true(tls_attach(f.w, client.c, SSL_new(context)));
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    SSL_CTX_free(context);
}

/* Nothing would show afterwards that the record with a login is ours. */
static void test_a_login_without_tls_is_not_frozen(void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();

    client.c->smtp.flags |= SMTP_AUTHENTICATED;
    fake_pass(&f, AFTER + SECOND);
    assert_int_equal(frozen(), 0);
    assert_true(fake_is_open(&f, &client));
    fake_pass(&f, 20 * SECOND);
    assert_non_null(strstr(fake_heard(&client), "500 "));
}

/* More are due to be frozen in one turn than a batch has room for, and the freezer is gone: taking
 * those of the full batch back closes others, and this must not be the one that is just frozen. */
static void test_a_full_batch_that_is_not_taken_closes_none_that_is_being_frozen(void **state)
{
    enum { MANY = HANDOFF_BATCH + 1 };
    struct fake_client client[MANY];

    for (unsigned room = 1; room < 6; room++) {
        unsigned held_now = 0;

        teardown(NULL);
        setup(NULL);
        f.w->tarpit.rules.pace = false;
        fake_freezer(&f);
        fake_owe(&f, "192.0.2.8", 100); /* the first to make room; its timer is the last */
        client[0] = held_from("192.0.2.8");
        for (int i = 1; i < MANY; i++)
            client[i] = held();
        f.w->held_max = room;
        close(f.freezer);
        f.freezer = -1;
        fake_pass(&f, AFTER + SECOND);
        for (int i = 0; i < MANY; i++)
            held_now += !strstr(fake_heard(&client[i]), "421 ");
        assert_int_equal(f.w->open, room);
        assert_int_equal(f.w->guard.held, room);
        assert_int_equal(held_now, room);
        fake_pass(&f, 1000 * SECOND);
        for (int i = 0; i < MANY; i++)
            held_now -= strstr(fake_heard(&client[i]), "500 ") != NULL;
        assert_int_equal(held_now, 0);
    }
}

static void test_a_worker_that_drains_waits_for_what_the_freezer_does_not_take(void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();

    close(f.freezer);
    f.freezer = -1;
    f.w->draining = true;
    fake_pass(&f, AFTER + SECOND);
    assert_true(fake_is_open(&f, &client));
    assert_false(f.w->loop.stop);
    fake_pass(&f, 20 * SECOND);
    assert_non_null(strstr(fake_heard(&client), "500 "));
    fake_hang_up(&f, &client);
    assert_true(f.w->loop.stop);
}

static void test_a_worker_that_drains_ends_when_the_freezer_has_its_last_hold(void **state)
{
    fake_freezer(&f);
    (void)held();
    f.w->draining = true;
    fake_pass(&f, AFTER + SECOND);
    assert_int_equal(frozen(), 1);
    assert_true(f.w->loop.stop);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_long_hold_goes_after_freeze_after_and_not_before),
        TEST(test_what_is_frozen_and_what_is_held_here),
        TEST(test_what_the_freezer_does_not_take_is_held_here_and_answered_in_time),
        TEST(test_a_connection_that_comes_back_is_answered_and_goes_on),
        TEST(test_a_connection_that_comes_back_without_room_hears_its_reply_and_421),
        TEST(test_a_connection_that_was_released_on_its_way_back_is_answered_at_once),
        TEST(test_what_the_freezer_did_not_take_while_its_client_was_released_is_answered),
        TEST(test_a_connection_that_comes_back_when_it_is_due_closes_no_held_one),
        TEST(test_what_comes_back_counts_in_its_clients_share),
        TEST(test_a_connection_comes_back_to_the_listener_that_it_has_come_by),
        TEST(test_a_record_that_claims_what_nobody_has_checked_ends_its_connection),
        TEST(test_recipients_of_another_configuration_are_not_taken),
        TEST(test_a_connection_is_that_of_its_other_end_or_of_whom_a_balancer_names),
        TEST(test_a_tls_state_goes_with_the_record_that_it_was_kept_for),
        TEST(test_a_tls_state_gets_a_socket_that_does_not_wait),
        TEST(test_a_login_without_tls_is_not_frozen),
        TEST(test_a_full_batch_that_is_not_taken_closes_none_that_is_being_frozen),
        TEST(test_a_worker_that_drains_waits_for_what_the_freezer_does_not_take),
        TEST(test_a_worker_that_drains_ends_when_the_freezer_has_its_last_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
