/* Listening sockets that a service manager has made before (systemd's socket activation,
 * sd_listen_fds(3)). */
#ifndef MIRED_MASTER_ACTIVATION_H
#define MIRED_MASTER_ACTIVATION_H

struct config;
struct listeners;

/* Takes those that were passed and that `config` has a `listen` for, by address and port; others
 * are closed, with a warning. Once, before anything else is opened: the environment says no more of
 * them afterwards. An upgrade hands them on like all listeners. */
void activation_take(struct listeners *l, const struct config *config);

#endif
