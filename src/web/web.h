/* The web process: control socket, /metrics, the page. Never in the path of mail. */
#ifndef MIRED_WEB_WEB_H
#define MIRED_WEB_WEB_H

struct steering_params;

/* The body of the process; ends when the master says so or is gone, once the answers that are owed
 * have been given. */
int web_run(const struct steering_params *params);

#endif
