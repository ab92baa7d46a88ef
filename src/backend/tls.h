/* The parameters of tls/client.h for a backend. Private to src/backend. */
#ifndef MIRED_BACKEND_TLS_H
#define MIRED_BACKEND_TLS_H

#include "config/config.h"
#include "tls/client.h"

/* How long `starttls` does without TLS after it has failed. Long enough that a backend whose TLS is
 * broken costs one connection and one line of the log in that time; short enough that a backend that
 * is mended, or an enemy on the path who is gone, does not leave mail in clear text for hours. */
enum { BACKEND_PLAIN_MS = 600000 };

static inline struct tls_client_params backend_tls(const struct config_backend *b)
{
    return (struct tls_client_params){
        .verified = b->tls == TLS_VERIFIED, .host = b->host, .addr = b->addr};
}

#endif
