/* What a client of the control socket hears when there is no memory for its answer. The test is a
 * process of mired's to the socket, so it is refused; that is an answer like others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/socket.h"
#include "control/steering.h"

static struct steering steering;
static bool no_memory;
static unsigned ended;

void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *__wrap_realloc(void *at, size_t size)
{
    return no_memory ? NULL : __real_realloc(at, size);
}

static void one_has_ended(struct loop *loop)
{
    ended++;
}

/* Connects, and returns what the socket says until it closes the connection. */
static const char *hears(int listener)
{
    static char text[1024];
    struct sockaddr_un at;
    socklen_t len = sizeof at;
    size_t got = 0;
    ssize_t n;

    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_return_code(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_return_code(connect(fd, (struct sockaddr *)&at, len), 0);
    ended = 0;
    while (!ended)
        loop_turn(&steering.loop, 1000);
    while ((n = read(fd, text + got, sizeof text - 1 - got)) > 0)
        got += (size_t)n;
    text[got] = '\0';
    close(fd);
    return text;
}

/* mirectl takes a connection that ends without a word for one that nobody has read, and would give
 * its command again. */
static void test_without_memory_for_the_answer_there_is_a_short_one(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX}; /* the kernel chooses an abstract name */
    json_error_t error;

    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_return_code(bind(listener, (struct sockaddr *)&at, sizeof at.sun_family), 0);
    assert_return_code(listen(listener, 1), 0);
    assert_int_equal(loop_open(&steering.loop), 0);
    steering.ended = one_has_ended;
    assert_int_equal(control_open(&steering, listener), 0);

    assert_non_null(strstr(hears(listener), "may control it"));
    no_memory = true;
    const char *text = hears(listener);
    no_memory = false;
    json_t *answer = json_loads(text, 0, &error);
    assert_non_null(answer);
    assert_int_equal(json_integer_value(json_object_get(answer, "v")), 1);
    assert_true(json_is_false(json_object_get(answer, "ok")));
    assert_string_equal(json_string_value(json_object_get(answer, "code")), "refused");
    assert_non_null(strstr(json_string_value(json_object_get(answer, "error")), "no memory"));
    json_decref(answer);

    control_close(&steering);
    loop_close(&steering.loop);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_memory_for_the_answer_there_is_a_short_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
