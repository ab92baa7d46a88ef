/* Stand-ins for the growing of a buf (base/bytes.h), as a file of src/smtp sees it that only appends:
 * what is added must be there, be set and fit into proof_room, and each call may find no memory. The octets
 * are looked at, and not kept. */
#include "any_buf.h"

#include <errno.h>

size_t proof_line, proof_longest;
unsigned proof_lines;

static char block[PROOF_ROOM];

/* Where the end of a line begins; words of others, which are longer or of other octets, have none. */
static size_t find_end(const char *octets, size_t n)
{
    for (size_t at = 0; at < 2 && at + 2 <= n; at++)
        if (octets[at] == '\r' && octets[at + 1] == '\n')
            return at;
    return n;
}

/* A line may have printable ASCII, parts of UTF-8, and the tab of a folded line. */
static void look(const char *octets, size_t n)
{
    size_t end = find_end(octets, n);

    for (size_t i = 0; i < n; i++) {
        unsigned octet = (unsigned char)octets[i];
        if (i != end && i != end + 1) {
            //@ assert no_end_of_line: octet == '\t' || (octet >= ' ' && octet != 127);
        }
    }
    if (proof_line + end > proof_longest)
        proof_longest = proof_line + end;
    proof_lines += end < n;
    proof_line = end < n ? n - end - 2 : proof_line + n;
}

int buf_add(struct buf *b, const void *octets, size_t n)
{
    proof_reads((struct span){octets, n});
    if (n == 0)
        return 0;
    if (any_memory())
        return -ENOMEM;
    look(octets, n);
    //@ assert fits: n <= PROOF_ROOM - b->len;
    b->at = block;
    b->len += (uint32_t)n;
    return 0;
}

int buf_add_span(struct buf *b, struct span s)
{
    return buf_add(b, s.at, s.len);
}

char *buf_room(struct buf *b, size_t n)
{
    if (n > PROOF_ROOM - b->len || any_memory())
        return NULL;
    b->at = block;
    return block + b->len;
}
