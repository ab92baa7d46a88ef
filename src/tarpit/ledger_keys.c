/* The ledger's keys: SipHashes of what they are about, under the file's own random key, with the
 * kind and the address family in the lowest four bits. Runs in every process that mapped the file;
 * pure but for that key. */
#include <string.h>

#include "tarpit/ledger_others.h"
#include "tarpit/ledger_table.h"

/* The widest IPv6 networks (R10) use no octets after their prefix, so the last octet says how long
 * the prefix is. */
enum { LEVEL_OCTET = 7 };

/* Hashes the head of a key and a user or domain, whose case does not matter. */
static uint64_t hash_text(const struct ledger *l, const uint8_t *head, size_t n, struct span text)
{
    struct siphash h;
    char lower[64];

    siphash_start(&h, &l->file.key);
    siphash_add(&h, head, n);
    while (text.len) {
        size_t some = text.len < sizeof lower ? text.len : sizeof lower;
        for (size_t i = 0; i < some; i++) {
            char c = text.at[i];
            lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        siphash_add(&h, lower, some);
        text = span_after(text, some);
    }
    return siphash_end(&h);
}

static struct ledger_key make_key(const struct ledger *l, enum ledger_kind kind,
                                  const struct addr *a, struct span user)
{
    enum { LABEL = 8 };
    uint8_t head[2 + LABEL] = {kind, a != NULL ? a->family : 0};
    size_t n = a != NULL ? sizeof head : 2;
    struct ledger_key k = {.kind = kind};

    if (a != NULL) {
        for (int i = 0; i < LABEL; i++)
            k.label = k.label << 8 | a->octets[i];
        memcpy(head + 2, a->octets, LABEL);
    }
    uint64_t hash = user.len ? hash_text(l, head, n, user) : siphash(&l->file.key, head, n);
    k.hash = (hash & ~UINT64_C(15)) | kind;
    if (a != NULL && a->family == ADDR_IP6 && kind != LEDGER_MAILBOXES)
        k.hash |= LEDGER_KIND_IP6;
    if (user.len != 0 && ledger_is_shared(l))
        k.common = ledger_common(l, k.hash & (LEDGER_KIND_BITS | LEDGER_KIND_IP6), a, user);
    return k;
}

struct ledger_key ledger_key_client(const struct ledger *l, const struct addr *a)
{
    struct addr client = addr_client(a);
    return make_key(l, LEDGER_CLIENT, &client, (struct span){0});
}

struct ledger_key ledger_key_network(const struct ledger *l, const struct addr *a)
{
    struct addr network = addr_network(a);
    return make_key(l, LEDGER_NETWORK, &network, (struct span){0});
}

struct ledger_key ledger_key_level(const struct ledger *l, const struct addr *a, unsigned bits)
{
    struct addr inner = addr_inner(a);
    if (inner.family != ADDR_IP6 || bits == 48)
        return bits == 24 || bits == 48 ? ledger_key_network(l, a) : (struct ledger_key){0};
    struct addr network = addr_cut(&inner, bits);
    network.octets[LEVEL_OCTET] = (uint8_t)bits;
    return make_key(l, LEDGER_NETWORK, &network, (struct span){0});
}

struct ledger_key ledger_key_pair(const struct ledger *l, const struct addr *a, struct span domain)
{
    struct addr network = addr_network(a);
    return make_key(l, LEDGER_PAIR, &network, domain);
}

struct ledger_key ledger_key_bounces(const struct ledger *l, const struct addr *a)
{
    struct addr client = addr_client(a);
    return make_key(l, LEDGER_BOUNCES, &client, (struct span){0});
}

struct ledger_key ledger_key_mailboxes(const struct ledger *l, const struct addr *a)
{
    struct addr client = addr_client(a);
    return make_key(l, LEDGER_MAILBOXES, &client, (struct span){0});
}

struct ledger_key ledger_key_account(const struct ledger *l, struct span user)
{
    return make_key(l, LEDGER_ACCOUNT, NULL, user);
}

struct ledger_key ledger_key_account_network(const struct ledger *l, struct span user,
                                             const struct addr *a)
{
    struct addr network = addr_network(a);
    return make_key(l, LEDGER_ACCOUNT_NETWORK, &network, user);
}

struct ledger_key ledger_key_allowance(const struct ledger *l, struct span user)
{
    return make_key(l, LEDGER_ALLOWANCE, NULL, user);
}

static struct addr label_addr(const struct ledger_key *k)
{
    struct addr a = {.family = k->hash & LEDGER_KIND_IP6 ? ADDR_IP6 : ADDR_IP4};

    for (int i = 0; i < 8; i++)
        a.octets[i] = (uint8_t)(k->label >> (56 - 8 * i));
    return a;
}

bool ledger_key_is_login(const struct ledger *l, const struct ledger_key *k, struct span user,
                         struct addr *network)
{
    if (k->kind != LEDGER_ACCOUNT_NETWORK || k->label == 0)
        return false;
    *network = label_addr(k);
    return make_key(l, LEDGER_ACCOUNT_NETWORK, network, user).hash == k->hash;
}

void ledger_prefetch(const struct ledger *l, const struct ledger_key *k)
{
    ledger_prefetch_lines(l, k->hash);
    if (l->others)
        ledger_others_prefetch(l, k);
}

static bool is_level(const struct ledger_key *k)
{
    return k->kind == LEDGER_NETWORK && k->hash & LEDGER_KIND_IP6 && k->label & 0xff;
}

struct addr ledger_key_addr(const struct ledger_key *k)
{
    struct ledger_key plain = *k;

    if (k->kind != LEDGER_CLIENT && k->kind != LEDGER_NETWORK && k->kind != LEDGER_PAIR &&
        k->kind != LEDGER_BOUNCES)
        return (struct addr){0};
    if (is_level(k))
        plain.label &= ~UINT64_C(0xff);
    return label_addr(&plain);
}

unsigned ledger_key_bits(const struct ledger_key *k)
{
    bool four = !(k->hash & LEDGER_KIND_IP6);

    if (k->kind == LEDGER_CLIENT || k->kind == LEDGER_BOUNCES)
        return four ? 32 : 64;
    if (is_level(k))
        return k->label & 0xff;
    return four ? 24 : 48;
}

uint64_t ledger_mailbox(const struct ledger *l, struct span folded)
{
    size_t at = folded.len, plus = 0;
    struct siphash h;

    while (at > 0 && folded.at[at - 1] != '@')
        at--;
    while (plus < at && folded.at[plus] != '+')
        plus++;
    siphash_start(&h, &l->file.key);
    siphash_add(&h, "m", 1);
    if (at > 0 && plus > 0 && plus < at) {
        siphash_add(&h, folded.at, plus);
        siphash_add(&h, folded.at + at - 1, folded.len - at + 1);
    } else {
        siphash_add(&h, folded.at, folded.len);
    }
    return siphash_end(&h);
}

struct ledger_key ledger_key_named(const struct ledger *l, const struct ledger_name *n)
{
    struct addr a = {.family = n->kind & LEDGER_NAME_IP6 ? ADDR_IP6 : ADDR_IP4};

    if (!ledger_name_is_label(n->kind))
        return (struct ledger_key){0};
    for (int i = 0; i < 8; i++)
        a.octets[i] = (uint8_t)(n->id >> (56 - 8 * i));
    return make_key(l, n->kind & LEDGER_KIND_BITS, &a, (struct span){0});
}
