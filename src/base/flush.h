/* Flushing a folder's entries, which the flush of a file that is in it does not promise (fsync(2)).
 * Thread-safe. */
#ifndef MIRED_BASE_FLUSH_H
#define MIRED_BASE_FLUSH_H

/* Writes the entries of folder `path`, as seen from folder `at` (or AT_FDCWD), to the disk. Returns
 * 0 or -errno: -EACCES if this user may not read the folder. */
int flush_folder(int at, const char *path);

#endif
