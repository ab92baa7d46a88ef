/* The nftables table `inet mired`, through libnftables. Runs in the freezer. */
#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "freezer/rule.h"

static int run(const char *commands, char why[256])
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft)
        return -ENOMEM;
    nft_ctx_buffer_error(nft);
    nft_ctx_buffer_output(nft);
    int failed = nft_run_cmd_from_buffer(nft, commands);
    if (failed && why) {
        const char *said = nft_ctx_get_error_buffer(nft);
        snprintf(why, 256, "%.*s", (int)strcspn(said, "\n"), said);
    }
    nft_ctx_free(nft);
    return failed ? -EPERM : 0;
}

int rule_set(const uint16_t *ports, size_t count, char why[256])
{
    struct buf b = {0};
    int r = buf_addf(&b, "table inet mired\n"
                         "delete table inet mired\n"
                         "table inet mired {\n"
                         "  set ports { type inet_service; elements = {");
    for (size_t i = 0; i < count && r == 0; i++)
        r = buf_addf(&b, "%s %u", i ? "," : "", ports[i]);
    if (r == 0)
        r = buf_addf(&b,
                     " } }\n"
                     "  chain output {\n"
                     "    type filter hook output priority filter; policy accept;\n"
                     "    tcp sport @ports tcp flags & (rst | ack) == rst meta skuid 0 drop\n"
                     "  }\n"
                     "}\n%c",
                     '\0');
    if (r == 0)
        r = run(b.at, why);
    buf_free(&b);
    return r;
}

void rule_unset(void)
{
    run("table inet mired\ndelete table inet mired\n", NULL);
}
