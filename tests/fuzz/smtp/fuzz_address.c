/* Whatever is taken as a path must be made of it, fold to one form, and fold to the same again. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "smtp/address.h"
#include "smtp/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folded address, in brackets, is a path again; its domain is ASCII by then. */
static void check_fold(const struct mailbox *box)
{
    enum { ROOM = 1024 };
    char folded[ROOM], again[ROOM], path[ROOM + 2];
    struct mailbox second;
    size_t used, n = mailbox_fold(box, folded, sizeof folded);
    assert(n == 0 || strlen(folded) == n);
    if (!n || n > ADDRESS_MAX - 2)
        return;
    path[0] = '<';
    memcpy(path + 1, folded, n);
    path[n + 1] = '>';
    enum path_result r = path_parse((struct span){path, n + 2}, &used, &second);
    assert(r == PATH_OK || r == PATH_NON_ASCII || (r == PATH_POSTMASTER && !box->domain.len));
    assert(used == n + 2);
    for (size_t i = 0; i < second.domain.len; i++)
        assert((uint8_t)second.domain.at[i] < 0x80);
    assert(mailbox_fold(&second, again, sizeof again) == n && !memcmp(folded, again, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    struct mailbox box;
    size_t used;
    switch (path_parse(text, &used, &box)) {
    case PATH_BAD: assert(used == 0); return 0;
    case PATH_NULL: assert(used == 2); return 0;
    case PATH_POSTMASTER: assert(box.domain.len == 0); break;
    case PATH_OK:
    case PATH_NON_ASCII:
        assert(box.domain.at == box.local.at + box.local.len + 1);
        assert(box.local.len + 1 + box.domain.len <= ADDRESS_MAX - 2);
        break;
    }
    assert(used <= size && data[used - 1] == '>' && box.local.len > 0);
    for (struct span rest = {box.local.at, (size_t)((const char *)data + used - box.local.at)};
         rest.len; rest = span_after(rest, text_printable(rest)))
        assert(text_printable(rest));
    check_fold(&box);
    return 0;
}
