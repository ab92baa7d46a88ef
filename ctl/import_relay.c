/* The relay list of Windows' SMTP service: the hosts that may send to any domain without a login;
 * see import_part.h. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "import_part.h"

/* RelayIpList of the metabase is a block of octets. It begins with four offsets of lists; the
 * second is the list of permitted addresses. A list has a count of groups, a count of addresses,
 * and for each group its family, the number and size of its elements, a flag and the offset of its
 * elements: a network mask, and addresses with it. Numbers have 32 bits, little-endian; offsets
 * have their high bit set. */
enum { BLOCK_MAX = 65536, FAMILY_IP4 = 2, GROUPS_MAX = 32, MAY_LIST = 4, FIRST_OFFSET = 0x18 };

static uint32_t number_at(const struct buf *block, size_t at)
{
    if (at > BLOCK_MAX || at + 4 > block->len)
        return 0;
    const unsigned char *o = (const unsigned char *)block->at + at;
    return o[0] | (uint32_t)o[1] << 8 | (uint32_t)o[2] << 16 | (uint32_t)o[3] << 24;
}

static size_t offset_at(const struct buf *block, size_t at)
{
    return number_at(block, at) & 0x7fffffff;
}

static int hex_of(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

/* The octets after "RelayIpList": hexadecimal, as in the metabase file, or numbers, as PowerShell
 * prints them. */
static void read_block(struct span text, struct buf *block)
{
    size_t digits = 0;

    while (text.len && !(text.at[0] >= '0' && text.at[0] <= '9'))
        text = span_after(text, 1);
    while (digits < text.len && hex_of(text.at[digits]) >= 0)
        digits++;
    bool hexadecimal = digits >= 16;
    for (struct span word; hexadecimal && (word = import_word(&text, " \t\r\n")).len;) {
        size_t i = 0;
        for (; i + 1 < word.len && hex_of(word.at[i]) >= 0 && hex_of(word.at[i + 1]) >= 0; i += 2) {
            char octet = (char)(hex_of(word.at[i]) * 16 + hex_of(word.at[i + 1]));
            if (block->len < BLOCK_MAX)
                buf_add(block, &octet, 1);
        }
        if (i < word.len) /* its closing quote: long values go over several lines */
            return;
    }
    while (!hexadecimal && text.len && text.at[0] != '}' && block->len < BLOCK_MAX) {
        struct span word = import_word(&text, ", \t\r\n}");
        if (word.len == 0 || word.at[0] < '0' || word.at[0] > '9')
            break;
        char octet = (char)import_number(word, 10);
        buf_add(block, &octet, 1);
    }
}

static int bits_of_mask(uint32_t mask)
{
    int bits = 0;

    while (bits < 32 && mask & (1U << (31 - bits)))
        bits++;
    return bits < 32 && mask << bits ? -1 : bits;
}

/* The elements are addresses as the network has them, the high octet first. */
static uint32_t address_at(const struct buf *block, size_t at)
{
    return __builtin_bswap32(number_at(block, at));
}

static void take_group(struct import *im, const struct buf *block, size_t group)
{
    size_t at = offset_at(block, group + 16), count = number_at(block, group + 4);
    int bits = bits_of_mask(address_at(block, at));
    char word[32];

    if (number_at(block, group) != FAMILY_IP4 || number_at(block, group + 8) != 4 || bits < 0)
        return;
    for (size_t i = 1; i < count && at + i * 4 + 4 <= block->len; i++) {
        uint32_t a = address_at(block, at + i * 4);
        a &= bits ? ~0U << (32 - bits) : 0;
        snprintf(word, sizeof word, "%u.%u.%u.%u/%d", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255,
                 bits);
        import_relay(im, span_of(word));
    }
}

void import_relay_list(struct import *im, struct span text)
{
    const char *name = "RelayIpList";
    const char *found = memmem(text.at, text.len, name, strlen(name));
    struct buf block = {0};
    int before = im->found;

    if (!found)
        return;
    read_block(span_after(text, (size_t)(found - text.at) + strlen(name)), &block);
    if (offset_at(&block, 0) == FIRST_OFFSET) {
        size_t list = offset_at(&block, MAY_LIST), groups = number_at(&block, list);
        for (size_t i = 0; i < groups && i < GROUPS_MAX; i++)
            take_group(im, &block, list + 8 + i * 20);
    }
    if (im->found == before) {
        im->found++;
        import_note(im, "RelayIpList lists no address that may relay; add your own machines that "
                        "send without a login to relay");
    }
    buf_free(&block);
}
