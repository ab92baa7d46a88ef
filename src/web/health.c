/* /health and /ready, for balancers, Kubernetes and monitors: a status code, and one line of JSON
 * that says why. In the web process.
 *
 *   /health  200 as long as mired runs: a restart does not repair other servers
 *   /ready   200 while mail to existing people passes; 503 while it would be deferred */
#include "base/clock.h"
#include "web/http_part.h"
#include "web/web_part.h"

static enum MHD_Result tell(struct MHD_Connection *c, unsigned status, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct buf line = {0};

    json_decref(body);
    int error = text ? buf_addf(&line, "%s\n", text) : -1;
    free(text);
    struct MHD_Response *r =
        error ? NULL : MHD_create_response_from_buffer(line.len, line.at, MHD_RESPMEM_MUST_COPY);
    buf_free(&line);
    return http_send(c, status, r, "application/json");
}

enum MHD_Result health_send(const struct http *h, struct MHD_Connection *c)
{
    const struct steering_params *params = h->web->steering.params;
    double up = (double)clock_since(params->started_ms, clock_wall_ms()) / 1000.0;

    return tell(c, MHD_HTTP_OK,
                json_pack("{s:b, s:s, s:i, s:f}", "healthy", 1, "version", MIRED_VERSION,
                          "generation", (int)params->generation, "up_seconds", up));
}

enum MHD_Result ready_send(const struct http *h, struct MHD_Connection *c)
{
    const char *why = h->finishing ? "mired is stopping" : status_mail_waits(&h->web->steering);

    return tell(c, why ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK,
                json_pack("{s:b, s:s*}", "ready", why == NULL, "why", why));
}
