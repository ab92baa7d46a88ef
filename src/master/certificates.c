/* Passes the configuration's values to tls/, which does not know the configuration. In the master
 * and in `mired -t`. */
#include "master/certificates.h"

#include <time.h>

#include "tls/check.h"

int certificates_open(const struct config_tls *config, struct tls_server **out, struct buf *errors)
{
    struct tls_server_params params = {.certificate = config->certificate.at,
                                       .key = config->key.at,
                                       .certificates = config->certificate.count,
                                       .keys = config->key.count,
                                       .client_ca = config->client_ca,
                                       .place = config->place,
                                       .minimum = config->minimum};

    return tls_server_open(&params, out, errors);
}

unsigned certificates_check_dates(const struct config_tls *config, struct buf *said)
{
    return tls_check_dates(config->certificate.at, config->certificate.count, config->place,
                           time(NULL), said);
}
