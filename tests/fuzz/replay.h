/* A main() for fuzz targets that are built without libFuzzer: gives each file named on the command
 * line, and each file of each folder named, to the target once. Included ahead of the target's own
 * source. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(const char *path, off_t size)
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
    free(octets);
}

static int replay(const char *path)
{
    struct stat st;
    int count = 0;
    if (stat(path, &st) < 0) {
        perror(path);
        exit(2);
    }
    if (S_ISREG(st.st_mode)) {
        replay_file(path, st.st_size);
        return 1;
    }
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
