/* Whatever text is imported, the lines that come of it are a configuration that mired takes (with
 * what no import can know), and nothing of the text gets out of its line. Files that the lines name
 * are left out, for whether they can be read is this machine's; so are names that only libidn2 can
 * judge. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool names_a_file(const char *setting)
{
    static const char *const sections[] = {"tls ", "auth \"dovecot\"", "recipients \"socketmap\""};

    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (strncmp(setting, sections[i], strlen(sections[i])) == 0)
            return true;
    return false;
}

static void check_lines(json_t *lines, struct buf *out)
{
    for (size_t i = json_array_size(lines); i-- > 0;) {
        const json_t *line = json_array_get(lines, i);
        const char *setting = json_string_value(json_object_get(line, "setting"));
        const char *reason = json_string_value(json_object_get(line, "reason"));
        assert(reason && *reason && !strpbrk(reason, "\r\n"));
        assert(!setting || !strpbrk(setting, "\r\n"));
        if (setting && names_a_file(setting))
            json_array_remove(lines, i);
    }
    assert(import_render(lines, out) == 0);
}

/* Each address of a table is a line of a file of recipients. */
static void check_table(struct span text)
{
    struct import_recipients found;
    const char *address;
    json_t *value;

    if (!import_is_table(text))
        return;
    (void)import_table(text, &found);
    json_object_foreach(found.addresses, address, value)
    {
        const char *sign = strchr(address, '@');
        assert(sign && sign > address && sign[1] && !strchr(sign + 1, '@'));
        assert(!strpbrk(address, " \t\r\n\",;"));
    }
    json_decref(found.addresses);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct buf text = {0}, out = {0}, said = {0};
    json_t *lines = NULL;
    char path[64];

    if (size > 4096 || memmem(data, size, "xn--", 4) || memmem(data, size, "XN--", 4) ||
        buf_add(&text, data, size) < 0)
        return 0;
    import_flatten(&text);
    check_table(buf_span(&text));
    assert(import_text(&text, &lines) >= 0);
    check_lines(lines, &out);
    buf_addf(&out, "user = \"root\"\n");
    if (!memmem(out.at, out.len, "\nbackend ", 9))
        buf_addf(&out, "backend \"smtp://127.0.0.1:10025\" { }\n");
    if (!memmem(out.at, out.len, "\nlisten ", 8))
        buf_addf(&out, "listen \"127.0.0.1:2525\" { }\n");
    if (!memmem(out.at, out.len, "\ndomains = ", 11))
        buf_addf(&out, "domains = { \"example.org\" }\n");
    int fd = memfd_create("conf", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, out.at, out.len) == (ssize_t)out.len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (config_read(path, &config, &said) < 0) {
        fprintf(stderr, "%.*s\n%.*s\n", (int)out.len, out.at, (int)said.len, said.at);
        assert(!"it is taken");
    }
    config_free(config);
    close(fd);
    json_decref(lines);
    buf_free(&text);
    buf_free(&out);
    buf_free(&said);
    return 0;
}
