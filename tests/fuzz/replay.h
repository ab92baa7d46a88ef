/* A main() for fuzz targets that are built without libFuzzer: gives each file named on the command
 * line, and each file of each folder named, to the target once. Included ahead of the target's own
 * source.
 *
 * With REPLAY_MUTATIONS=N in the environment, each input comes N times more, each time changed in
 * another way, always the same ways; REPLAY_MS limits how long all changed inputs together take. So
 * a test without libFuzzer tries inputs that no file has. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t replay_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Changes `size` octets in place, or removes or repeats some; `octets` has room for twice as many
 * and 64. Returns the new size. */
static size_t replay_change(uint8_t *octets, size_t size, uint64_t *random)
{
    static const uint8_t telling[] = {0, 1, '\n', '\r', '.', ' ', '-', ':', 127, 128, 254, 255};
    size_t at = size ? replay_random(random) % size : 0, n = replay_random(random) % 16 + 1;

    if (n > size - at)
        n = size - at;
    switch (size ? replay_random(random) % 6 : 5) {
    case 0: octets[at] ^= (uint8_t)(1u << replay_random(random) % 8); break;
    case 1: octets[at] = (uint8_t)replay_random(random); break;
    case 2: octets[at] = telling[replay_random(random) % sizeof telling]; break;
    case 3: memmove(octets + at, octets + at + n, size - at - n); return size - n;
    case 4: memmove(octets + at + n, octets + at, size - at); return size + n;
    default:
        memmove(octets + at + 1, octets + at, size - at);
        octets[at] = telling[replay_random(random) % sizeof telling];
        return size + 1;
    }
    return size;
}

static int64_t replay_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int replay_changed(const char *path, const uint8_t *octets, size_t size)
{
    static int64_t spent_ms;
    const char *text = getenv("REPLAY_MUTATIONS"), *ms = getenv("REPLAY_MS");
    int count = 0, most = text ? atoi(text) : 0;
    int64_t begin_ms = replay_ms(), most_ms = ms ? atoll(ms) : INT64_MAX;
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);

    for (; count < most && spent_ms + replay_ms() - begin_ms < most_ms; count++) {
        uint8_t *own = malloc(2 * size + 64);
        size_t len = size;
        if (!own)
            exit(2);
        memcpy(own, octets, size);
        for (uint64_t n = replay_random(&random) % 4 + 1; n > 0 && len < 2 * size + 32; n--)
            len = replay_change(own, len, &random);
        uint8_t *exact = malloc(len + 1);
        if (!exact)
            exit(2);
        memcpy(exact, own, len);
        fprintf(stderr, "%s, change %d\n", path, count);
        LLVMFuzzerTestOneInput(exact, len);
        free(exact);
        free(own);
    }
    spent_ms += replay_ms() - begin_ms;
    return count;
}

static int replay_file(const char *path, off_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *octets = malloc((size_t)size + 1);
    if (!f || !octets || fread(octets, 1, (size_t)size, f) != (size_t)size) {
        perror(path);
        exit(2);
    }
    fclose(f);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that crashes */
    LLVMFuzzerTestOneInput(octets, (size_t)size);
    int changed = replay_changed(path, octets, (size_t)size);
    free(octets);
    return 1 + changed;
}

static int replay(const char *path)
{
    struct stat st;
    int count = 0;
    if (stat(path, &st) < 0) {
        perror(path);
        exit(2);
    }
    if (S_ISREG(st.st_mode))
        return replay_file(path, st.st_size);
    struct dirent **entry = NULL;
    int entries = scandir(path, &entry, NULL, alphasort);
    for (int i = 0; i < entries; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.')
            count += replay(inner);
        free(entry[i]);
    }
    free(entry);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%d inputs\n", count);
    return 0;
}
