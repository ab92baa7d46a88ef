/* The web process: control socket, /metrics, the page. Never in the path of mail. */
#ifndef MIRED_WEB_WEB_H
#define MIRED_WEB_WEB_H

struct steering_params;

/* The body of the process. Ends when the master says so or is gone, after the pending answers have
 * been sent. */
int web_run(const struct steering_params *params);

#endif
