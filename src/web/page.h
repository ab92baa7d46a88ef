/* The page's files (web/ of the source), built into the program by scripts/embed. */
#ifndef MIRED_WEB_PAGE_H
#define MIRED_WEB_PAGE_H

#include <stddef.h>

struct page_file {
    const char *path, *type;
    const unsigned char *at;
    size_t len;
};

extern const struct page_file page_files[]; /* ended by one without path */

#endif
