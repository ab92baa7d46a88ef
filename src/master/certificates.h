/* Loads the certificates of the configuration and checks their dates. */
#ifndef MIRED_MASTER_CERTIFICATES_H
#define MIRED_MASTER_CERTIFICATES_H

#include "base/bytes.h"
#include "config/config.h"
#include "tls/server.h"

/* As tls_server_open(). */
int certificates_open(const struct config_tls *config, struct tls_server **out, struct buf *errors);

/* As tls_check_dates(), now. */
unsigned certificates_check_dates(const struct config_tls *config, struct buf *said);

#endif
