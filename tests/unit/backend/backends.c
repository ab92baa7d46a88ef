#include "backends.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/container.h"
#include "base/sockaddr.h"

static void changed(void *arg)
{
    ((struct backends *)arg)->changes++;
}

static void remember(void *arg, const char *backend, uint64_t word)
{
}

static void broke(struct delivery *d, bool started)
{
    struct backends *t = container_of(d->backend, struct backends, b);

    t->broke++;
}

static void nothing(struct loop *loop, struct alarm *a)
{
}

int backends_setup(void **state)
{
    static char name[] = "smtp://backend.test:25", hostname[] = "mx.test";
    struct backends *t = calloc(1, sizeof *t);

    assert_int_equal(loop_open(&t->loop), 0);
    assert_int_equal(sharing_open(&t->sharing), 0);
    t->one.name = name;
    t->config.backend = &t->one;
    t->config.backend_count = 1;
    t->config.hostname = hostname;
    t->listener = -1;
    t->pool.params = (struct pool_params){.config = &t->config,
                                          .loop = &t->loop,
                                          .slots = 2,
                                          .sharing = t->sharing,
                                          .changed = changed,
                                          .remember = remember,
                                          .broke = broke,
                                          .arg = t};
    t->b = (struct backend){.pool = &t->pool, .config = &t->one, .open_max = 8};
    t->b.retry.due = nothing;
    t->b.known = t->b.up = true;
    limit_open(&t->b);
    *state = t;
    return 0;
}

int backends_teardown(void **state)
{
    struct backends *t = *state;

    t->pool.closing = true;
    if (t->listener >= 0)
        close(t->listener);
    while (t->b.links)
        pool_link_close(t->b.links);
    for (struct delivery *d; (d = pool_line_first(&t->b));)
        pool_line_drop(&t->b, d);
    while (pool_line_back(&t->b, true))
        continue;
    pool_line_close(&t->b);
    loop_alarm_off(&t->loop, &t->b.retry);
    loop_alarm_off(&t->loop, &t->b.back);
    SSL_CTX_free(t->b.tls);
    limit_close(&t->b);
    sharing_close(t->sharing);
    loop_close(&t->loop);
    free(t);
    return 0;
}

struct link *backends_new_link(struct backends *t)
{
    struct link *l = calloc(1, sizeof *l);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[1]);
    l->backend = &t->b;
    l->watch = (struct watch){.fd = pair[0], .events = EPOLLIN, .ready = pool_link_ready};
    assert_int_equal(loop_watch(&t->loop, &l->watch), 0);
    l->alarm.due = pool_link_due;
    l->opened_ms = t->loop.now;
    l->connecting = true;
    l->outbound.state = OUTBOUND_GREETING;
    l->next = t->b.links;
    l->prev = &t->b.links;
    if (l->next)
        l->next->prev = &l->next;
    t->b.links = l;
    t->b.open++;
    t->b.connecting++;
    return l;
}

struct link *backends_link(struct backends *t, bool idle)
{
    struct link *l = backends_new_link(t);

    l->connecting = false;
    t->b.connecting--;
    l->outbound.served = true;
    l->outbound.state = idle ? OUTBOUND_IDLE : OUTBOUND_FINAL;
    t->b.spoke_ms = t->loop.now;
    return l;
}

void backends_listen(struct backends *t)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(t->listener >= 0);
    assert_int_equal(bind(t->listener, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(t->listener, 8), 0);
    t->one.addr = addr_of_socket(t->listener);
}

struct delivery *backends_delivery(struct backends *t)
{
    t->delivery = (struct delivery){.alarm.due = nothing};
    return &t->delivery;
}
