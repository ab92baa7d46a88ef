/* Any file of recipients, traps, suspects or allowances is read or refused as a whole, and each line that was
 * read is found again. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "directory/allowances.h"
#include "directory/list_file.h"
#include "smtp/address.h"
#include "smtp/address_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_kind(const struct list_kind *kind, const char *path, struct span text)
{
    struct list_file *f = list_file_open(kind, path, NULL, LIST_READ_COPY, true, (uint64_t)1 << 60);
    struct span line;
    char folded[ADDRESS_MAX * 4], right[LIST_RIGHT];
    unsigned number = 0;
    struct buf said = {0};

    if (!f)
        return;
    bool sound = list_check(kind, text, path, &said) == 0;
    buf_free(&said);
    if (sound != list_file_loaded(f))
        __builtin_trap(); /* -t and the reader judge alike */
    (void)list_begin(&text);
    while (sound && list_next(&text, &number, &line)) {
        size_t len = kind->fold(line, folded, sizeof folded - 1, right);
        if (list_file_has(f, (struct span){folded, len}, 5000, 1005000) != ANSWER_YES)
            __builtin_trap();
    }
    list_file_close(f);
}

/* An allowance is kept as a line that says the same. */
static void check_allowances(struct span text)
{
    char folded[ADDRESS_MAX * 4], right[LIST_RIGHT];
    uint32_t hour, day, hour_again, day_again;
    struct span line, name, again;
    unsigned number = 0;

    while (list_next(&text, &number, &line)) {
        size_t len = list_allowances.fold(line, folded, sizeof folded - 1, right);
        if ((len > 0) != allowance_line(line, &name, &hour, &day))
            __builtin_trap();
        if (len && (!allowance_line((struct span){folded, len}, &again, &hour_again, &day_again) ||
                    !span_equal_fold(name, again) || hour != hour_again || day != day_again ||
                    hour > LEDGER_BUCKET_MOST || day > LEDGER_BUCKET_MOST))
            __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    char path[64];
    int fd = memfd_create("recipients", MFD_CLOEXEC);

    if (!quiet) {
        log_to(memfd_create("log", MFD_CLOEXEC));
        quiet = true;
    }
    if (fd < 0 || size > 65536 || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check_kind(&list_recipients, path, (struct span){(const char *)data, size});
    check_kind(&list_traps, path, (struct span){(const char *)data, size});
    check_kind(&list_suspects, path, (struct span){(const char *)data, size});
    check_kind(&list_allowances, path, (struct span){(const char *)data, size});
    check_allowances((struct span){(const char *)data, size});
    close(fd);
    return 0;
}
