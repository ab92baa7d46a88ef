/* `mirectl import`: settings of other mail servers as lines of mired.conf, each with its reason. */
#ifndef MIRED_CTL_IMPORT_H
#define MIRED_CTL_IMPORT_H

/* Reads the file ("-": standard input) and prints the lines. Exit status of mirectl: 0, 1 when
 * nothing in it was understood or it cannot be read. */
int import_file(const char *path);

#endif
