/* Whatever processes that hold connections answer to the web process (an attacker may have taken one
 * over): each command gets one result, and sums are never below 0. The input is a list of notes:
 * kind, tag, arg, length, text. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "control/holders.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS = 3, HEAD = 4 };

static int told[COMMANDS];

static void result(void *arg, const struct held *h)
{
    assert(++*(int *)arg == 1);
    assert(h->held >= 0 && h->frozen >= 0);
    assert(h->names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t kind[] = {NOTE_COUNT,   NOTE_COUNTED, NOTE_TALLY,
                                    NOTE_TALLIED, NOTE_RELEASE, NOTE_RELEASED};
    struct loop loop = {0};
    struct note n;
    struct tally tally = {0};
    struct network network;
    struct addr one = {.family = ADDR_IP4};
    int pair[2];

    assert(loop_open(&loop) == 0 && channel_pair(pair) == 0);
    struct holders h = {.loop = &loop, .channel = pair[0]};
    memset(told, 0, sizeof told);
    assert(network_parse(SPAN("192.0.2.0/24"), &network) && tally_add(&tally, &one));
    assert(holders_count(&h, &network, result, &told[0]) == 0);
    assert(holders_tally(&h, &tally, result, &told[1]) == 0);
    assert(holders_release(&h, &network, result, &told[2]) == 0);
    for (size_t at = 0; at + HEAD <= size;) {
        size_t len = data[at + 3] < size - at - HEAD ? data[at + 3] : size - at - HEAD;
        n.kind = kind[data[at] % (sizeof kind / sizeof *kind)];
        n.tag = data[at + 1] % 5;
        n.arg = data[at + 2] == 255   ? INT32_MIN
                : data[at + 2] == 254 ? INT32_MAX
                                      : data[at + 2] - 2;
        n.fds = 0;
        n.len = (uint32_t)len;
        memcpy(n.text, data + at + HEAD, len);
        n.text[len] = '\0';
        holders_note(&h, &n);
        at += HEAD + len;
    }
    holders_close(&h);
    for (int i = 0; i < COMMANDS; i++)
        assert(told[i] == 1);
    loop_close(&loop);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
