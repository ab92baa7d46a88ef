/* Whatever stands in an address, its folder's name is one harmless path component, two parts of
 * addresses never share one, and a message's file has a name in which no host makes a path. The
 * input is two parts between which there is the first line end. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "store/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name, size_t len)
{
    assert(len > 0 && len < FOLDER_NAME && strlen(name) == len);
    assert(name[0] != '.' && !strchr(name, '/'));
    for (size_t i = 0; i < len; i++)
        assert((unsigned char)name[i] > ' ' && name[i] != 0x7f);
}

static void check_message(struct span host)
{
    char text[600], name[MESSAGE_NAME];

    host = span_first(host, sizeof text - 1);
    if (host.len)
        memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    message_name(UINT64_MAX, INT32_MAX, UINT32_MAX, text, name);
    assert(strlen(name) < MESSAGE_NAME && name[0] != '.' && !strpbrk(name, "/:"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = {(const char *)data, size}, one = span_first(all, span_find(all, '\n'));
    struct span other = span_after(all, one.len + 1);
    char name[FOLDER_NAME], second[FOLDER_NAME];

    check_name(name, folder_name(one, name));
    check_name(second, folder_name(other, second));
    assert(span_equal(one, other) == (strcmp(name, second) == 0));
    check_message(one);
    return 0;
}
