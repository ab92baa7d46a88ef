/* The dates of certificates; see check.h. A client that verifies certificates refuses an expired
 * one. Its mail then comes in clear text or not at all, and nothing in mired's log would show
 * it. */
#include "tls/check.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

enum { WEEK_S = 7 * 86400 };

static const char *date_text(const ASN1_TIME *t, char out[64])
{
    struct tm tm = {0};

    if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, 64, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, 64, "an unreadable date");
    return out;
}

/* Adds the message about one certificate; true if it is more than a warning. */
static bool check_one(X509 *x, const char *place, const char *file, time_t now, struct buf *said)
{
    const ASN1_TIME *from = X509_get0_notBefore(x), *until = X509_get0_notAfter(x);
    time_t soon = now + WEEK_S;
    char date[64];

    if (X509_cmp_time(until, &now) < 0) {
        buf_addf(said, "%s: tls: certificate \"%s\" expired on %s; renew it\n", place, file,
                 date_text(until, date));
        return true;
    }
    if (X509_cmp_time(from, &now) > 0) {
        buf_addf(said, "%s: tls: certificate \"%s\" is not valid before %s; is the clock right?\n",
                 place, file, date_text(from, date));
        return true;
    }
    if (X509_cmp_time(until, &soon) < 0)
        buf_addf(said, "%s: warning: tls: certificate \"%s\" expires on %s\n", place, file,
                 date_text(until, date));
    return false;
}

unsigned tls_check_dates(char *const files[], size_t count, const char *place, time_t now,
                         struct buf *said)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        const char *file = files[i];
        BIO *in = BIO_new_file(file, "r");
        X509 *x;
        for (bool told = false; in && !told && (x = PEM_read_bio_X509(in, NULL, NULL, NULL));) {
            told = check_one(x, place, file, now, said);
            wrong += told;
            X509_free(x);
        }
        BIO_free(in);
    }
    ERR_clear_error();
    return wrong;
}
