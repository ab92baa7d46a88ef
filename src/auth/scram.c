/* SCRAM-SHA-256, the server's side; see scram.h. HMAC, SHA-256 and PBKDF2 are OpenSSL's.
 *
 *   SaltedPassword = PBKDF2(password, salt, i)
 *   ClientKey = HMAC(SaltedPassword, "Client Key"), StoredKey = SHA-256(ClientKey)
 *   ServerKey = HMAC(SaltedPassword, "Server Key")
 *   AuthMessage = client-first-bare "," server-first "," client-final-without-proof
 *   proof = ClientKey XOR HMAC(StoredKey, AuthMessage), v = HMAC(ServerKey, AuthMessage)
 *
 * We store StoredKey and ServerKey. A proof gives us ClientKey, and its hash must be StoredKey. */
#include "auth/scram.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#include "base/base64.h"
#include "smtp/scram.h"

enum { DECOY_ITERATIONS = 4096, DECOY_SALT = 16 };

static bool hmac(const uint8_t key[SCRAM_KEY], struct span data, uint8_t out[SCRAM_KEY])
{
    unsigned len = SCRAM_KEY;
    return HMAC(EVP_sha256(), key, SCRAM_KEY, (const uint8_t *)data.at, data.len, out, &len);
}

static bool hash(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY])
{
    unsigned len = SCRAM_KEY;
    return EVP_Digest(in, SCRAM_KEY, out, &len, EVP_sha256(), NULL) == 1;
}

static bool is_same(const uint8_t *a, const uint8_t *b)
{
    return CRYPTO_memcmp(a, b, SCRAM_KEY) == 0;
}

/* ---- secrets ---- */

static struct span next_field(struct span *rest)
{
    size_t comma = span_find(*rest, ',');
    struct span field = span_first(*rest, comma);
    *rest = span_after(*rest, comma + 1);
    return field;
}

static bool read_key(struct span text, uint8_t out[SCRAM_KEY])
{
    size_t len;
    return base64_decode(text, out, SCRAM_KEY, &len) && len == SCRAM_KEY;
}

bool scram_secret_read(struct span text, struct scram_secret *out)
{
    uint64_t iterations;
    size_t salt;

    if (!span_number(next_field(&text), &iterations) || iterations == 0 ||
        iterations > SCRAM_ITERATIONS_MAX ||
        !base64_decode(next_field(&text), out->salt, sizeof out->salt, &salt) || salt == 0 ||
        salt > sizeof out->salt)
        return false;
    out->iterations = (uint32_t)iterations;
    out->salt_len = (uint32_t)salt;
    struct span stored = next_field(&text);
    return read_key(stored, out->stored_key) && read_key(text, out->server_key);
}

bool scram_secret_is_of(const struct scram_secret *s, struct span password)
{
    uint8_t salted[SCRAM_KEY], client[SCRAM_KEY], stored[SCRAM_KEY];
    bool right = PKCS5_PBKDF2_HMAC(password.at, (int)password.len, s->salt, (int)s->salt_len,
                                   (int)s->iterations, EVP_sha256(), SCRAM_KEY, salted) == 1 &&
                 hmac(salted, SPAN("Client Key"), client) && hash(client, stored) &&
                 is_same(stored, s->stored_key);
    explicit_bzero(salted, sizeof salted);
    explicit_bzero(client, sizeof client);
    return right;
}

void scram_secret_decoy(const struct sipkey *key, struct span user, const struct scram_secret *like,
                        struct scram_secret *out)
{
    uint8_t block[SCRAM_KEY] = {0}, wide[SCRAM_KEY] = {0};

    memcpy(wide, key, sizeof *key);
    *out = (struct scram_secret){.iterations = like ? like->iterations : DECOY_ITERATIONS,
                                 .salt_len = like ? like->salt_len : DECOY_SALT};
    for (uint32_t at = 0; at < out->salt_len; at += SCRAM_KEY) {
        struct buf of = {0};
        if (buf_addf(&of, "%u,", at) == 0 && buf_add_span(&of, user) == 0)
            hmac(wide, buf_span(&of), block);
        buf_free(&of);
        memcpy(out->salt + at, block,
               out->salt_len - at < SCRAM_KEY ? out->salt_len - at : SCRAM_KEY);
    }
}

/* ---- shapes ---- */

static uint64_t place_of(const struct sipkey *key, struct span user, char use)
{
    struct siphash h;

    siphash_start(&h, key);
    siphash_add(&h, &use, 1);
    siphash_add(&h, user.at, user.len);
    return siphash_end(&h) % SCRAM_SHAPES;
}

void scram_shapes_note(struct scram_shapes *s, const struct sipkey *key, struct span user,
                       struct span message)
{
    uint8_t salt[SCRAM_SALT_MAX];
    uint64_t iterations = 0;
    size_t len = 0;

    while (message.len) {
        struct span field = next_field(&message);
        if (span_starts_fold(field, SPAN("i=")))
            (void)span_number(span_after(field, 2), &iterations);
        else if (span_starts_fold(field, SPAN("s=")) &&
                 !base64_decode(span_after(field, 2), salt, sizeof salt, &len))
            len = 0;
    }
    if (iterations && iterations <= SCRAM_ITERATIONS_MAX && len && len <= sizeof salt)
        atomic_store(&s->of[place_of(key, user, 'n')], iterations << 8 | len);
}

/* Searches from a place that depends on the name for one in use. That is the form of another name,
 * so over many decoys each form is as frequent as among the names that were seen. */
bool scram_shapes_like(const struct scram_shapes *s, const struct sipkey *key, struct span user,
                       struct scram_secret *like)
{
    uint64_t from = place_of(key, user, 'l'), shape = 0;

    for (uint64_t i = 0; i < SCRAM_SHAPES && !shape; i++)
        shape = atomic_load(&s->of[(from + i) % SCRAM_SHAPES]);
    like->iterations = (uint32_t)(shape >> 8);
    like->salt_len = (uint32_t)(shape & 0xff);
    return shape && like->salt_len <= SCRAM_SALT_MAX && like->iterations <= SCRAM_ITERATIONS_MAX;
}

/* ---- a login ---- */

static int add_base64(struct buf *to, const void *at, size_t len)
{
    char *room = buf_room(to, BASE64_LEN(len));
    if (!room)
        return -ENOMEM;
    to->len += (uint32_t)base64_encode((struct span){at, len}, room);
    return 0;
}

static int write_first(const struct scram_login *l, struct buf *out)
{
    if (buf_addf(out, "r=%.*s,s=", (int)l->nonce.len, l->nonce.at) ||
        add_base64(out, l->secret.salt, l->secret.salt_len) ||
        buf_addf(out, ",i=%u", l->secret.iterations))
        return -ENOMEM;
    return out->len <= SCRAM_MESSAGE ? 0 : -EBADMSG;
}

int scram_login_begin(struct scram_login *l, struct span message, struct span binding,
                      struct span ours, struct buf *answer)
{
    struct scram_first first;

    if (!scram_read_first(message, &first) || binding.len > sizeof l->binding ||
        (first.flag == 'p') != (binding.len > 0))
        return -EBADMSG;
    if (binding.len)
        memcpy(l->binding, binding.at, binding.len);
    l->binding_len = (uint32_t)binding.len;
    if (buf_add_span(&l->header, first.header) || buf_add_span(&l->nonce, first.nonce) ||
        buf_add_span(&l->nonce, ours))
        return -ENOMEM;
    int error = write_first(l, answer);
    if (!error && (buf_add_span(&l->said, first.bare) || buf_add_span(&l->said, SPAN(",")) ||
                   buf_add_span(&l->said, buf_span(answer)) || buf_add_span(&l->said, SPAN(","))))
        error = -ENOMEM;
    return error;
}

/* `c=` repeats the header of the first message, which proves that nobody changed it on the way, and
 * the binding data of this connection's TLS, which proves that it is the client's own
 * connection. */
static bool is_bound(const struct scram_login *l, struct span channel)
{
    struct buf plain = {0}, want = {0};
    bool same = buf_add_span(&plain, buf_span(&l->header)) == 0 &&
                buf_add(&plain, l->binding, l->binding_len) == 0 &&
                add_base64(&want, plain.at, plain.len) == 0 && span_equal(buf_span(&want), channel);

    buf_free(&plain);
    buf_free(&want);
    return same;
}

/* Checks the proof, which contains the client's key. */
static bool is_proven(const struct scram_login *l, struct span said, struct span proof)
{
    uint8_t signature[SCRAM_KEY], client[SCRAM_KEY], stored[SCRAM_KEY];
    bool good = read_key(proof, client) && hmac(l->secret.stored_key, said, signature);

    for (size_t i = 0; good && i < SCRAM_KEY; i++)
        client[i] ^= signature[i];
    good = good && hash(client, stored) && is_same(stored, l->secret.stored_key);
    explicit_bzero(client, sizeof client);
    return good && !l->decoy;
}

bool scram_login_end(const struct scram_login *l, struct span message, struct buf *answer)
{
    struct scram_final final;
    struct buf said = {0};
    uint8_t signature[SCRAM_KEY];

    bool right = scram_read_final(message, &final) && is_bound(l, final.channel) &&
                 span_equal(final.nonce, buf_span(&l->nonce)) &&
                 buf_add_span(&said, buf_span(&l->said)) == 0 &&
                 buf_add_span(&said, final.signed_part) == 0 &&
                 is_proven(l, buf_span(&said), final.proof) &&
                 hmac(l->secret.server_key, buf_span(&said), signature) &&
                 buf_add_span(answer, SPAN("v=")) == 0 &&
                 add_base64(answer, signature, sizeof signature) == 0;
    buf_free(&said);
    return right;
}

void scram_login_wipe(struct scram_login *l)
{
    buf_free(&l->header);
    buf_free(&l->nonce);
    buf_free(&l->said);
    explicit_bzero(l, sizeof *l);
}

/* ---- what another server says ---- */

/* The value of the next attribute, which must be `key`. */
static bool next_value(struct span *rest, char key, struct span *value)
{
    struct span field = next_field(rest);

    *value = span_after(field, 2);
    return value->len && field.at[0] == key && field.at[1] == '=';
}

static bool is_nonce(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < 0x21 || s.at[i] > 0x7e)
            return false;
    return true;
}

/* Extensions may follow, but none that the client must know ("m="). */
bool scram_is_challenge(struct span message, struct span nonce)
{
    struct span whole, salt, iterations;
    uint8_t octet;
    uint64_t n;
    size_t len;

    if (!message.len || message.len > SCRAM_MESSAGE || memchr(message.at, 0, message.len) ||
        !next_value(&message, 'r', &whole) || !next_value(&message, 's', &salt) ||
        !next_value(&message, 'i', &iterations))
        return false;
    while (message.len)
        if (span_starts_fold(next_field(&message), SPAN("m=")))
            return false;
    return is_nonce(whole) && nonce.len && whole.len > nonce.len &&
           span_equal(span_first(whole, nonce.len), nonce) &&
           base64_decode(salt, &octet, 1, &len) && len && span_number(iterations, &n) && n &&
           n <= SCRAM_ITERATIONS_MAX;
}

bool scram_is_signature(struct span message)
{
    uint8_t signature[SCRAM_KEY];
    struct span value;

    return next_value(&message, 'v', &value) && read_key(value, signature) && !message.len;
}

/* Printable, and no comma. */
int scram_nonce(char *out, size_t len)
{
    ssize_t n = getrandom(out, len, 0);

    if (n != (ssize_t)len)
        return n < 0 ? -errno : -EIO;
    for (size_t i = 0; i < len; i++) {
        char c = (char)(0x21 + (uint8_t)out[i] % (0x7f - 0x21));
        out[i] = (char)(c == ',' ? '~' : c);
    }
    return 0;
}
