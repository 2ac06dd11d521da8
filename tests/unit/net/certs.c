/* Certificates for tests. */
#include "tests/unit/net/certs.h"

#include <arpa/inet.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 64, DAY_S = 86400 };

struct certs {
    char dir[64];
    char *paths[FILES_MAX]; /* owned */
    size_t n_paths;
    gnutls_x509_crt_t ca;
    gnutls_x509_privkey_t ca_key;
    unsigned char serial;
};

#define MUST(cond)                                                           \
    do {                                                                     \
        if (!(cond)) {                                                       \
            fprintf(stderr, "%s:%d: cannot do: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                         \
        }                                                                    \
    } while (0)

const char *certs_path(struct certs *c, const char *file)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", c->dir, file);
    for (size_t i = 0; i < c->n_paths; i++)
        if (strcmp(c->paths[i], path) == 0)
            return c->paths[i];
    MUST(c->n_paths < FILES_MAX);
    c->paths[c->n_paths] = strdup(path);
    MUST(c->paths[c->n_paths]);
    return c->paths[c->n_paths++];
}

static void write_file(struct certs *c, const char *file, const void *p, size_t n)
{
    FILE *f = fopen(certs_path(c, file), "w");

    MUST(f);
    MUST(fwrite(p, 1, n, f) == n);
    MUST(fclose(f) == 0);
}

void certs_write(struct certs *c, const char *file, const char *text)
{
    write_file(c, file, text, strlen(text));
}

static void add_san(gnutls_x509_crt_t crt, const char *san)
{
    char *copy = strdup(san), *save = NULL;

    MUST(copy);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        unsigned char ip[16];
        char *value = strchr(word, ':');
        int ret = -1;

        MUST(value);
        *value++ = '\0';
        if (strcmp(word, "dns") == 0)
            ret = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, value, (unsigned)strlen(value), GNUTLS_FSAN_APPEND);
        else if (strcmp(word, "uri") == 0)
            ret = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, value, (unsigned)strlen(value), GNUTLS_FSAN_APPEND);
        else if (inet_pton(AF_INET, value, ip) == 1)
            ret = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 4, GNUTLS_FSAN_APPEND);
        else if (inet_pton(AF_INET6, value, ip) == 1)
            ret = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 16, GNUTLS_FSAN_APPEND);
        MUST(ret == 0);
    }
    free(copy);
}

static void make(struct certs *c, gnutls_x509_crt_t *crt, gnutls_x509_privkey_t *key, const char *name, const char *san,
                 unsigned flags, bool is_ca)
{
    time_t now = time(NULL), from = now - 30 * DAY_S, to = now + 30 * DAY_S;
    unsigned char id[20];
    size_t id_n = sizeof id;
    bool self = is_ca || (flags & CERT_SELF_SIGNED);
    unsigned usage = is_ca ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE;

    if (flags & CERT_EXPIRED)
        to = now - DAY_S;
    if (flags & CERT_NOT_YET)
        from = now + DAY_S;
    MUST(gnutls_x509_privkey_init(key) == 0);
    if (flags & CERT_RSA) {
        usage |= GNUTLS_KEY_KEY_ENCIPHERMENT;
        MUST(gnutls_x509_privkey_generate(*key, GNUTLS_PK_RSA, 2048, 0) == 0);
    } else {
        MUST(gnutls_x509_privkey_generate(*key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
    }
    MUST(gnutls_x509_crt_init(crt) == 0);
    MUST(gnutls_x509_crt_set_version(*crt, 3) == 0);
    c->serial++;
    MUST(gnutls_x509_crt_set_serial(*crt, &c->serial, 1) == 0);
    MUST(gnutls_x509_crt_set_activation_time(*crt, from) == 0);
    MUST(gnutls_x509_crt_set_expiration_time(*crt, to) == 0);
    MUST(gnutls_x509_crt_set_dn_by_oid(*crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name)) == 0);
    MUST(gnutls_x509_crt_set_key(*crt, *key) == 0);
    MUST(gnutls_x509_crt_get_key_id(*crt, GNUTLS_KEYID_USE_SHA1, id, &id_n) == 0);
    MUST(gnutls_x509_crt_set_subject_key_id(*crt, id, id_n) == 0);
    MUST(gnutls_x509_crt_set_basic_constraints(*crt, is_ca, -1) == 0);
    MUST(gnutls_x509_crt_set_key_usage(*crt, usage) == 0);
    if (flags & CERT_CLIENT_ONLY)
        MUST(gnutls_x509_crt_set_key_purpose_oid(*crt, GNUTLS_KP_TLS_WWW_CLIENT, 0) == 0);
    if (san)
        add_san(*crt, san);
    MUST(gnutls_x509_crt_sign2(*crt, self ? *crt : c->ca, self ? *key : c->ca_key, GNUTLS_DIG_SHA256, 0) == 0);
}

static void export(struct certs *c, const char *name, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    char file[128];
    gnutls_datum_t pem;

    MUST(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) == 0);
    snprintf(file, sizeof file, "%s.pem", name);
    write_file(c, file, pem.data, pem.size);
    gnutls_free(pem.data);
    MUST(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, 0, &pem) == 0);
    snprintf(file, sizeof file, "%s.key", name);
    write_file(c, file, pem.data, pem.size);
    gnutls_free(pem.data);
}

struct certs *certs_new(void)
{
    const char *tmp = getenv("TMPDIR");
    struct certs *c = calloc(1, sizeof *c);

    MUST(c);
    MUST((size_t)snprintf(c->dir, sizeof c->dir, "%s/td-certs-XXXXXX", tmp ? tmp : "/tmp") < sizeof c->dir);
    MUST(mkdtemp(c->dir));
    make(c, &c->ca, &c->ca_key, "test root", NULL, 0, true);
    export(c, "ca", c->ca, c->ca_key);
    return c;
}

void certs_issue(struct certs *c, const char *name, const char *san, unsigned flags)
{
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;

    make(c, &crt, &key, name, san, flags, false);
    export(c, name, crt, key);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
}

void certs_free(struct certs **cp)
{
    struct certs *c = *cp;

    if (!c)
        return;
    *cp = NULL;
    for (size_t i = 0; i < c->n_paths; i++) {
        unlink(c->paths[i]);
        free(c->paths[i]);
    }
    rmdir(c->dir);
    gnutls_x509_crt_deinit(c->ca);
    gnutls_x509_privkey_deinit(c->ca_key);
    free(c);
}
