/* Keeps the ledger keys of the clients that were judged last (who.h). */
#include "worker/who.h"

#include <string.h>

#include "smtp/address.h"
#include "tarpit/ledger_others.h"
#include "worker/worker_part.h"

static struct who_place *place_of(struct worker *w, const struct addr *peer)
{
    uint64_t low, high;

    memcpy(&high, peer->octets, sizeof high);
    memcpy(&low, peer->octets + sizeof high, sizeof low);
    uint64_t mixed = (high ^ (low << 32 | low >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    struct who_place *p = &w->whos.place[mixed >> 32 & (WHO_PLACES - 1)];

    if (!addr_equal(&p->peer, peer))
        *p = (struct who_place){.peer = *peer, .who = tarpit_who(&w->tarpit, peer, false)};
    return p;
}

struct tarpit_who who_of(struct worker *w, const struct addr *peer, bool exempt)
{
    struct tarpit_who who = place_of(w, peer)->who;

    who.pair = 0;
    who.exempt = exempt;
    who.sender_known = who.null_sender = false;
    return who;
}

void who_prefetch(struct worker *w, const struct addr *peer)
{
    tarpit_prefetch(&w->tarpit, &place_of(w, peer)->who);
}

struct tarpit_who who_sends(struct worker *w, const struct addr *peer, bool exempt,
                            struct span domain)
{
    struct who_place *p = place_of(w, peer);

    if (domain.len == 0 || domain.len > WHO_DOMAIN_MAX) {
        struct tarpit_who who = who_of(w, peer, exempt);
        tarpit_sender(&w->tarpit, &who, domain);
        return who;
    }
    uint64_t naming = ledger_naming(w->tarpit.ledger);
    if (naming != p->naming || !span_equal((struct span){p->domain, p->domain_len}, domain)) {
        p->naming = naming;
        tarpit_sender(&w->tarpit, &p->who, domain);
        p->domain_len = (uint8_t)domain.len;
        memcpy(p->domain, domain.at, domain.len);
    }
    struct tarpit_who who = p->who;
    who.exempt = exempt;
    return who;
}

uint64_t who_mailbox(struct worker *w, const struct addr *peer, struct span address)
{
    const struct who_place *p = place_of(w, peer);
    char folded[ADDRESS_MAX * 4];

    if (address.len && span_equal((struct span){p->address, p->address_len}, address))
        return p->mailbox;
    size_t at = address_sign(address);
    struct mailbox box = {span_first(address, at), span_after(address, at + 1)};
    size_t len = mailbox_fold(&box, folded, sizeof folded);
    return tarpit_mailbox(&w->tarpit, (struct span){folded, len});
}

void who_keep_mailbox(struct worker *w, const struct addr *peer, struct span address,
                      uint64_t mailbox)
{
    struct who_place *p = place_of(w, peer);

    if (address.len == 0 || address.len > WHO_ADDRESS_MAX)
        return;
    p->mailbox = mailbox;
    p->address_len = (uint8_t)address.len;
    memcpy(p->address, address.at, address.len);
}
