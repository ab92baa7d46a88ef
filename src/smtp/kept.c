/* Replies that are kept; see kept.h. */
#include "smtp/kept.h"

#include <string.h>

int kept_set(struct kept_reply *k, const struct reply *r)
{
    buf_free(&k->text);
    k->id = r->id;
    k->code = r->code;
    k->offence = r->offence;
    memcpy(k->enhanced, r->enhanced, sizeof k->enhanced);
    if (k->enhanced[0] == 0)
        k->enhanced[0] = (uint8_t)(r->code / 100);
    return buf_add_span(&k->text, r->arg);
}

struct reply kept_get(const struct kept_reply *k)
{
    struct reply r = {
        .id = k->id, .code = k->code, .offence = k->offence, .arg = buf_span(&k->text)};

    memcpy(r.enhanced, k->enhanced, sizeof r.enhanced);
    return r;
}

void kept_free(struct kept_reply *k)
{
    buf_free(&k->text);
}
