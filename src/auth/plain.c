/* The response of SASL PLAIN. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "auth/remote.h"

char *auth_plain_response(struct span user, struct span password)
{
    size_t len = user.len + password.len + 2;
    char *plain = calloc(1, len);
    char *coded = calloc(1, (len + 2) / 3 * 4 + 1);

    if (plain && coded) {
        memcpy(plain + 1, user.at, user.len);
        memcpy(plain + 2 + user.len, password.at, password.len);
        EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)plain, (int)len);
        explicit_bzero(plain, len);
    } else {
        free(coded);
        coded = NULL;
    }
    free(plain);
    return coded;
}
