/* Whatever a client says as SCRAM: what is read of a message lies within it, in its order, and says
 * the whole of it again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtp/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_within(struct span part, struct span whole)
{
    assert(!part.len || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len));
}

static void check_name(struct span name)
{
    char out[256];
    struct span none = span_first(name, 0);
    assert(!scram_name(none, out, sizeof out));
    if (scram_name(name, out, sizeof out))
        assert(strlen(out) > 0 && strlen(out) <= name.len);
}

static void check_first(struct span message)
{
    struct scram_first f;
    if (!scram_read_first(message, &f))
        return;
    assert(f.header.at == message.at && f.bare.at == message.at + f.header.len);
    assert(f.header.len + f.bare.len == message.len);
    assert(f.flag == 'n' || f.flag == 'y' || (f.flag == 'p' && f.binding.len));
    is_within(f.binding, f.header);
    is_within(f.authzid, f.header);
    is_within(f.user, f.bare);
    is_within(f.nonce, f.bare);
    assert(f.nonce.len && f.nonce.len <= SCRAM_NONCE_MAX && !memchr(f.nonce.at, ',', f.nonce.len));
    check_name(f.user);
    check_name(f.authzid);
}

static void check_final(struct span message)
{
    struct scram_final f;
    if (!scram_read_final(message, &f))
        return;
    assert(f.signed_part.at == message.at);
    assert(f.signed_part.len + 3 + f.proof.len == message.len);
    is_within(f.channel, f.signed_part);
    is_within(f.nonce, f.signed_part);
    assert(f.nonce.len && f.proof.len && !memchr(f.proof.at, ',', f.proof.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span message = {(const char *)data, size};
    check_first(message);
    check_final(message);
    check_name(message);
    return 0;
}
