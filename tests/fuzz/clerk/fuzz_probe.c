/* Whatever a backend says to the query for a recipient: the recipient exists only after a 2yz, and
 * does not exist, or is refused, only after a 5yz. The first octet picks LMTP, an address that is not
 * ASCII, and whether the backend says everything at once. */
#include "directory/remote.h"

#include "../hostile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { QUESTIONS = 3 };

/* Whether a line begins with this digit and two more. */
static bool said(struct span in, char digit)
{
    for (size_t i = 0; i + 2 < in.len; i++)
        if ((i == 0 || in.at[i - 1] == '\n' || (i >= 4 && !memcmp(in.at + i - 4, "CUT!", 4))) &&
            in.at[i] == digit)
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *smtp, *lmtp;
    _Atomic int patience[4] = {0};

    if (size < 1 || size > HOSTILE_MAX)
        return 0;
    if (!smtp) {
        smtp = hostile_config("backend \"smtp://127.0.0.1:2526\" { tls = \"off\" }\n"
                              "recipients \"backend\" { }\n");
        lmtp = hostile_config("backend \"lmtp:/run/none\" { }\nrecipients \"backend\" { }\n");
    }
    struct config *config = data[0] & 1 ? lmtp : smtp;
    struct span in = {(const char *)data + 1, size - 1};
    hostile_begin(data + 1, size - 1);
    hostile_by_lines = !(data[0] & 4);
    struct route route = config_route(config, ROUTE_BACKEND, SPAN("example.org"));
    struct backend_directory *b = backend_directory_open(config, &route, NULL, patience);
    assert(b);
    for (int i = 0; i < QUESTIONS; i++) {
        struct answer out = {0};
        struct span address =
            data[0] & 2 ? SPAN("\xc3\xa4@example.org") : SPAN("alice@example.org");
        enum answer_result r = backend_directory_ask(b, address, &out);
        assert(r != ANSWER_YES || said(in, '2'));
        bool not_ascii = r == ANSWER_OTHER && out.code == 553; /* mired's own word: RFC 6531 */
        assert((r != ANSWER_NO && r != ANSWER_OTHER) || said(in, '5') ||
               (data[0] & 2 && not_ascii));
        assert(r != ANSWER_OTHER ||
               (out.code >= 500 && out.code < 600 && out.len <= sizeof out.text));
    }
    backend_directory_close(b);
    hostile_close();
    return 0;
}
