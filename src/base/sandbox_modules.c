/* The C library's modules that look up hosts, loaded before the sandbox; see sandbox.h. */
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/sandbox.h"
#include "base/sandbox_part.h"

enum { LINE_OCTETS = 1024, NAME_OCTETS = 64 };

/* glibc finds a library that is loaded already by its name, and does not map it again. A module that
 * the machine does not have is no error: for glibc it counts as a service that is unavailable. */
static void load(const char *service, size_t len)
{
    char name[NAME_OCTETS + 16];

    if (len > NAME_OCTETS)
        return;
    snprintf(name, sizeof name, "libnss_%.*s.so.2", (int)len, service);
    (void)dlopen(name, RTLD_NOW);
}

/* Loads what a line of nsswitch.conf(5) names: "hosts: files resolve [!UNAVAIL=return] dns". */
static void load_services(const char *at)
{
    while (*at && *at != '#') {
        size_t len = strcspn(at, " \t\r\n[#");

        if (len)
            load(at, len);
        at += len;
        at += *at == '[' ? strcspn(at, "]") : 0;
        at += *at == ']' || isspace((unsigned char)*at) ? 1 : 0;
    }
}

void sandbox_load_modules_of(const char *settings)
{
    static const char standard[] = "files dns"; /* in glibc itself from 2.34 on */
    char line[LINE_OCTETS];
    FILE *file = fopen(settings, "re");

    load_services(standard);
    while (file && fgets(line, sizeof line, file)) {
        const char *at = line + strspn(line, " \t");
        const char *colon = strchr(at, ':');
        if (!strncmp(at, "hosts", 5) && colon && strspn(at + 5, " \t") == (size_t)(colon - at) - 5)
            load_services(colon + 1);
    }
    if (file)
        fclose(file);
}

void sandbox_load_modules(void)
{
    sandbox_load_modules_of("/etc/nsswitch.conf");
}
