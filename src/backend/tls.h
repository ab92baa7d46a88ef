/* The parameters of tls/client.h for a backend. Private to src/backend. */
#ifndef MIRED_BACKEND_TLS_H
#define MIRED_BACKEND_TLS_H

#include "config/config.h"
#include "tls/client.h"

static inline struct tls_client_params backend_tls(const struct config_backend *b)
{
    return (struct tls_client_params){
        .verified = b->tls == TLS_VERIFIED, .host = b->host, .addr = b->addr};
}

#endif
