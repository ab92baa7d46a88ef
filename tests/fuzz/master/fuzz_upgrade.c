/* Whatever the memory of an upgrade says, the new master takes it over or refuses it: it never adopts
 * a child of a role that it does not know. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "master/master.h"

void master_refuse(struct master *m, struct asker asker, const char *event, const char *text)
{
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What upgrade.c uses of the rest of the master. */
const struct role role_table[ROLE_COUNT] = {
    [ROLE_WORKER] = {.name = "worker"}, [ROLE_CLERK] = {.name = "clerk"},
    [ROLE_STORE] = {.name = "store"},   [ROLE_FREEZER] = {.name = "freezer"},
    [ROLE_WEB] = {.name = "web"},       [ROLE_FLEET] = {.name = "fleet"},
    [ROLE_KEEPER] = {.name = "keeper"}};
static_assert(ROLE_COUNT == ROLE_KEEPER + 1, "each role has a name");

int child_adopt(struct master *m, struct generation *g, const struct child *known)
{
    assert(g == m->current && known->role < ROLE_COUNT);
    assert(known->state == CHILD_LEAVING || known->state == CHILD_READY ||
           known->state == CHILD_STARTING);
    return 0;
}

void master_answer(struct master *m, struct asker asker, bool done, const char *event,
                   const char *text)
{
    abort(); /* only to a command */
}

void master_answer_busy(struct master *m, struct asker asker)
{
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct master m = {0};
    char number[16];
    int fd = memfd_create("upgrade", 0);

    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(number, sizeof number, "%d", fd);
    setenv("MIRED_UPGRADE", number, 1);
    int result = upgrade_inherit(&m);
    assert(result < 0 || result == 1);
    assert(!getenv("MIRED_UPGRADE") == (result == 1)); /* else the program may try once more */
    if (result < 0)
        close(fd);
    free(m.current);
    free(m.runtime.handoff);
    free(m.listeners.at);
    return 0;
}
