/* Whatever the process behind the control socket says, mirectl reads and prints it without harm to
 * the terminal: no control character but the end of a line. The first octet picks the command. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"
#include "show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 32768, LINES = 64 };

static void (*const show[])(const json_t *result) = {
    show_status,    show_clients,  show_client, show_connections, show_exempt,
    show_recipient, show_route,    show_config, show_advice,      show_fleet,
    show_traps,     show_observed, show_text,
};

/* Tables are aligned, words may be of any language; nothing moves the cursor or changes colours. */
static void check_printed(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)at[i];
        assert((c >= ' ' && c != 0x7f) || c == '\n' || c == '\t');
        assert(!(c == 0xc2 && i + 1 < len && (unsigned char)at[i + 1] < 0xa0 &&
                 (unsigned char)at[i + 1] >= 0x80));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct link l = {.path = "/run/mired/control"};
    char *printed = NULL;
    size_t len = 0;
    int pair[2], status = CTL_DONE;
    bool last = false;

    if (size < 1 || size > MOST)
        return 0;
    setenv("NO_COLOR", "1", 1);
    FILE *own = open_memstream(&printed, &len), *kept = stdout;
    assert(own && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    l.fd = pair[0];
    assert(send(pair[1], data + 1, size - 1, MSG_DONTWAIT) == (ssize_t)(size - 1));
    close(pair[1]);
    stdout = own;
    for (int i = 0; i < LINES && status == CTL_DONE && !last; i++) {
        json_t *line = NULL;
        status = link_read(&l, 1000, &line, &last);
        if (status == CTL_DONE)
            show[data[0] % (sizeof show / sizeof *show)](line);
        json_decref(line);
    }
    stdout = kept;
    fclose(own);
    check_printed(printed, len);
    check_printed(l.error, strlen(l.error));
    free(printed);
    link_close(&l);
    return 0;
}
