/* Whatever a process that was taken over sends to the others is refused, or is within its bounds:
 * queries, answers and notes. The first octet picks the kind; the rest is one packet. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "query/query.h"
#include "query/tally.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_query(int fd)
{
    struct query_packet q;

    if (query_read(fd, &q) != 1)
        return;
    assert((size_t)q.head.first + q.head.second <= sizeof q.text);
    assert(q.head.kind >= QUERY_RECIPIENT && q.head.kind < QUERY_KINDS);
}

static void check_answer(int fd)
{
    struct answer a;

    if (answer_read(fd, &a) != 1)
        return;
    assert(a.len <= sizeof a.text && answer_name(&a).len <= sizeof a.name);
    assert(a.result >= ANSWER_YES && a.result <= ANSWER_TRAP);
}

static void check_note(int fd)
{
    struct note n;
    struct tally t = {0}, sums = {0};
    struct addr one = {.family = ADDR_IP4};

    if (channel_read(fd, &n) != 1)
        return;
    assert(n.len < NOTE_TEXT && n.text[n.len] == '\0' && n.fds == 0);
    if (tally_parse(&t, (struct span){n.text, n.len}))
        assert(t.count <= TALLY_CLIENTS);
    assert(tally_add(&sums, &one));
    (void)tally_add_counts(&sums, n.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const check[])(int fd) = {check_query, check_answer, check_note};
    int pair[2];

    if (size < 1 || size > 16384)
        return 0;
    assert(channel_pair(pair) == 0);
    assert(send(pair[1], data + 1, size - 1, MSG_NOSIGNAL) >= 0);
    check[data[0] % 3](pair[0]);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
