/* The command: reads a file and prints lines of mired.conf (or JSON). import_text.c interprets the
 * text. */
#include "import.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/commands.h"
#include "link.h"

enum { FILE_MAX = 64 << 20 };

static int read_all(const char *path, struct buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char part[16384];
    size_t n;
    int error = 0;

    if (!f)
        return -errno;
    while (!error && (n = fread(part, 1, sizeof part, f)) > 0) {
        error = buf_add(out, part, n);
        if (out->len > FILE_MAX)
            error = -EFBIG;
    }
    if (!error && ferror(f))
        error = -errno;
    if (f != stdin)
        fclose(f);
    return error;
}

static void print_lines(const struct options *o, json_t *lines)
{
    struct buf out = {0};

    if (o->json) {
        json_t *result =
            json_pack("{s:i, s:b, s:O}", "v", CONTROL_VERSION, "ok", 1, "lines", lines);
        print_json(result);
        json_decref(result);
    } else if (import_render(lines, &out) == 0) {
        fwrite(out.at, 1, out.len, stdout);
    }
    buf_free(&out);
}

/* Addresses for a file of recipients, in the order of the table. */
static int print_recipients(const struct options *o, const char *path, struct span text)
{
    struct import_recipients found;
    bool good = import_table(text, &found);
    const char *address;
    json_t *value;

    if (!good || json_object_size(found.addresses) == 0) {
        json_decref(found.addresses);
        return report(o, CTL_REFUSED, CONTROL_REFUSED, "%s: %s at line %u; nothing is written",
                      path,
                      good ? "no address in it, which ends"
                           : "cut off, or a line with other columns than the first,",
                      found.wrong_line);
    }
    if (o->json) {
        json_t *list = json_array();
        json_object_foreach(found.addresses, address, value)
        {
            json_array_append_new(list, json_string(address));
        }
        json_t *result =
            json_pack("{s:i, s:b, s:o, s:i, s:i}", "v", CONTROL_VERSION, "ok", 1, "recipients",
                      list, "skipped", (int)found.skipped, "disabled", (int)found.disabled);
        print_json(result);
        json_decref(result);
    } else {
        printf("# %zu addresses, for recipients \"file\". Left out: %u disabled accounts, %u "
               "entries that are no address\n",
               json_object_size(found.addresses), found.disabled, found.skipped);
        json_object_foreach(found.addresses, address, value)
        {
            puts(address);
        }
    }
    json_decref(found.addresses);
    return CTL_DONE;
}

int import_file(const struct options *o, const char *path)
{
    struct buf text = {0};
    json_t *lines = NULL;
    int error = read_all(path, &text);

    if (error < 0) {
        buf_free(&text);
        return report(o, CTL_REFUSED, CONTROL_REFUSED, "%s: %s", path, strerrordesc_np(-error));
    }
    import_flatten(&text);
    if (import_is_table(buf_span(&text))) {
        int status = print_recipients(o, path, buf_span(&text));
        buf_free(&text);
        return status;
    }
    int found = import_text(&text, &lines);
    buf_free(&text);
    if (found > 0)
        print_lines(o, lines);
    json_decref(lines);
    if (found > 0)
        return CTL_DONE;
    return report(o, CTL_REFUSED, CONTROL_REFUSED,
                  "no known setting in %s; expected a registry export with \"TarpitTime\", "
                  "MetaBase.xml, the output of Get-ReceiveConnector | fl or of postconf -n, or a "
                  "CSV table with addresses",
                  path);
}
