/* The loop of data_skip(), which data_skip.c includes once for each set of instructions, with SKIP,
 * MARK and TARGET defined. So there is no include guard. */

TARGET static size_t SKIP(struct data_scan *d, struct span in, bool stuffed, size_t *dots)
{
    const uint64_t last = UINT64_C(1) << (DATA_BLOCK - 1);
    uint64_t after_cr = d->state == AFTER_CR, at_start = d->state == LINE_START, nul = 0;
    uint32_t line = d->line;
    size_t at = 0, found = 0;

    for (; in.len - at >= DATA_BLOCK; at += DATA_BLOCK) {
        struct marks m;
        MARK(in.at + at, &m);
        if (m.lf != (m.cr << 1 | after_cr))
            break;
        uint64_t dot = m.dot & (m.lf << 1 | at_start);
        if (dot && (!stuffed || dot & (m.cr >> 1 | last)))
            break;
        /* up to the first CR the line goes on that has begun before */
        unsigned head = m.cr ? (unsigned)__builtin_ctzll(m.cr) : DATA_BLOCK;
        if (!after_cr && line + head > DATA_LINE_MAX)
            break;
        unsigned tail = m.cr & last ? 1 : 0; /* a CR belongs to no line */
        line = m.lf ? (unsigned)__builtin_clzll(m.lf) - tail : line + DATA_BLOCK - tail;
        if (dot)
            found += (unsigned)__builtin_popcountll(dot);
        nul |= m.nul;
        after_cr = m.cr >> (DATA_BLOCK - 1);
        at_start = m.lf >> (DATA_BLOCK - 1);
    }
    if (!at)
        return 0;
    if (nul)
        d->bad = d->nul = true;
    d->state = after_cr ? AFTER_CR : at_start ? LINE_START : IN_LINE;
    d->line = line & 0x1ffff;
    *dots += found;
    return at;
}
