/* What the web process may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_WEB_CONFINE_H
#define MIRED_WEB_CONFINE_H

struct config;

/* Confines the process to what is open, and the file of allowances, unless `sandbox` is off. Call it
 * once, after everything that the process keeps open has been opened, and before it starts a thread.
 */
void web_confine(const struct config *config);

#endif
