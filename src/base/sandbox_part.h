/* Private to sandbox*.c: the two parts of the kernel that confine a process. */
#ifndef MIRED_BASE_SANDBOX_PART_H
#define MIRED_BASE_SANDBOX_PART_H

#include "base/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* sandbox_landlock.c: enters the rules of `s`. Returns the bits that are in force (enum
 * sandbox_force); if the kernel has Landlock but it fails, 0 and -errno in *error. */
unsigned sandbox_enter_landlock(struct sandbox *s, int *error);

/* What a process of this machine could have in force of Landlock. */
unsigned sandbox_landlock_available(void);

/* Whether sandbox_probe() has found that Landlock's calls end the process. */
bool sandbox_landlock_forbidden(void);

/* sandbox_seccomp.c: enters the filter for the calls of `s`. Returns SANDBOX_SECCOMP, or 0 if the
 * kernel has no seccomp or if it fails; then -errno is in *error unless an error is there already.
 */
unsigned sandbox_enter_seccomp(const struct sandbox *s, int *error);

/* sandbox_root.c: changes the root directory. Returns SANDBOX_ROOT, or 0; if it fails although the
 * process may, -errno is in *error. */
unsigned sandbox_enter_root(const struct sandbox *s, int *error);

/* Whether this process may change its root directory. */
bool sandbox_may_change_root(void);

/* Takes that right away. 0 or -errno. */
int sandbox_keep_root(void);

/* Stands in a compiled filter for the id of the process that loads it; no process has this id. */
enum { SANDBOX_OWN_ID = 0x3fffffff };

/* sandbox_seccomp.c: makes the filter (libseccomp's scmp_filter_ctx) for the calls of these groups,
 * which the caller releases. 0 or -errno. */
int sandbox_make_filter(unsigned groups, void **filter);

/* sandbox_programs.c: enters the filter for these calls; a kept one, or one that is compiled now. 0
 * or -errno. */
int sandbox_load_filter(unsigned calls);

/* sandbox_modules.c: what sandbox_load_modules() does, with the file of settings named. */
void sandbox_load_modules_of(const char *settings);

/* Whether the kernel and this build have seccomp. */
bool sandbox_has_seccomp(void);

#endif
