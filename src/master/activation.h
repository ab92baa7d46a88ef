/* Listening sockets from a service manager (systemd's socket activation, sd_listen_fds(3)). */
#ifndef MIRED_MASTER_ACTIVATION_H
#define MIRED_MASTER_ACTIVATION_H

struct config;
struct listeners;

/* Takes the passed sockets that match a `listen` of `config` by address and port; closes the others
 * with a warning. Call it once, while the process has opened no descriptor of its own: those that a
 * wrong count covers are closed, too. It clears the environment variables. An upgrade passes the
 * sockets on like all listeners. */
void activation_take(struct listeners *l, const struct config *config);

#endif
