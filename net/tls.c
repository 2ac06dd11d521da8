/* TLS sessions and the credentials they share. */
#include "net/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "net/addr.h"
#include "net/certname.h"
#include "net/resume.h"

enum {
    PEER_NAMES_MAX = 100,    /* names looked at in one certificate */
    PEER_NAME_SIZE = 256,    /* a longer one can be nobody's host name */
    FAULT_NAMES_MAX = 4,     /* names told in a fault */
    QUIET_MAX = 128 * 1024,  /* bytes a peer may send that bring no plaintext: handshake messages, empty records */
};

/* Certificates and what goes with them: never changed once made; shared by the sessions that started with them. */
struct creds {
    unsigned refs; /* atomic */
    gnutls_certificate_credentials_t cred;
    gnutls_priority_t priorities;
    struct resume *resume; /* owned: sessions that were dialled; gone with the certificate that was shown in them */
    gnutls_datum_t ticket_key; /* a secret from which GnuTLS derives the keys of each period */
    enum conf_client_cert client_certificate;
    bool has_certificate, wildcards;
    bool name_roots; /* tell clients which roots we trust */
};

struct tlsio_server {
    pthread_mutex_t lock;
    struct creds *creds; /* under lock; a reference */
};

struct tlsio_session {
    gnutls_session_t gnutls;
    struct creds *creds; /* a reference */
    tlsio_send_fn *send;
    void *send_arg;
    const char *in; /* what tlsio_input() was given and GnuTLS has not pulled yet */
    size_t in_n;
    size_t quiet;   /* bytes pulled since the last plaintext */
    char *host;  /* owned: whom we dialled; else NULL */
    char *names; /* owned: of a peer certificate found good (net/certname.h), else NULL */
    char *fault; /* owned */
    uint8_t state, verify;
    bool is_server;
};

/* ---- credentials ---- */

static void creds_unref(struct creds *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (c->cred)
        gnutls_certificate_free_credentials(c->cred);
    if (c->priorities)
        gnutls_priority_deinit(c->priorities);
    resume_free(&c->resume);
    if (c->ticket_key.data) {
        gnutls_memset(c->ticket_key.data, 0, c->ticket_key.size);
        gnutls_free(c->ticket_key.data);
    }
    free(c);
}

static int load(gnutls_datum_t *data, const char *key, const char *file, struct buf *fault)
{
    int ret;

    errno = 0;
    ret = gnutls_load_file(file, data);
    if (ret == 0)
        return TD_OK;
    buf_printf(fault, "tls.%s: %s: %s", key, file, errno ? strerror(errno) : gnutls_strerror(ret));
    return errno == ENOENT ? TD_ENOENT : errno == EACCES ? TD_EPERM : TD_EIO;
}

/* Certificate and key are parsed one by one first, so that the fault names the file that is wrong. */
static int load_certificate(struct creds *c, const struct tlsio_settings *set, struct buf *fault)
{
    gnutls_datum_t cert = { 0 }, key = { 0 };
    gnutls_x509_crt_t *list = NULL;
    gnutls_x509_privkey_t priv = NULL;
    unsigned n = 0;
    int err, ret;

    if (!*set->certificate && !*set->private_key)
        return TD_OK;
    if (!*set->certificate || !*set->private_key) {
        buf_printf(fault, "tls.%s is not set but tls.%s is", *set->certificate ? "private_key" : "certificate",
                   *set->certificate ? "certificate" : "private_key");
        return TD_EINVAL;
    }
    err = load(&cert, "certificate", set->certificate, fault);
    if (!err)
        err = load(&key, "private_key", set->private_key, fault);
    if (err)
        goto out;
    err = TD_EINVAL;
    ret = gnutls_x509_crt_list_import2(&list, &n, &cert, GNUTLS_X509_FMT_PEM, 0);
    if (ret < 0) {
        buf_printf(fault, "tls.certificate: %s: no PEM certificate in it: %s", set->certificate, gnutls_strerror(ret));
        goto out;
    }
    ret = gnutls_x509_privkey_init(&priv);
    if (ret == 0)
        ret = gnutls_x509_privkey_import2(priv, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (ret < 0) {
        buf_printf(fault, "tls.private_key: %s: no usable PEM key in it: %s", set->private_key, gnutls_strerror(ret));
        goto out;
    }
    ret = gnutls_certificate_set_x509_key(c->cred, list, (int)n, priv);
    if (ret == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
        buf_printf(fault, "tls.private_key: %s does not belong to the certificate in %s", set->private_key, set->certificate);
        goto out;
    }
    if (ret < 0) {
        buf_printf(fault, "tls.certificate: %s: %s", set->certificate, gnutls_strerror(ret));
        goto out;
    }
    c->has_certificate = true;
    err = TD_OK;
out:
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    if (priv)
        gnutls_x509_privkey_deinit(priv);
    if (key.data)
        gnutls_memset(key.data, 0, key.size);
    gnutls_free(key.data);
    gnutls_free(cert.data);
    return err;
}

static int load_roots(struct creds *c, const struct tlsio_settings *set, struct buf *fault)
{
    gnutls_datum_t roots = { 0 };
    int err, ret;

    if (!*set->ca_file) {
        /* A system without roots is no fault: it trusts nobody. */
        gnutls_certificate_set_x509_system_trust(c->cred);
        return TD_OK;
    }
    err = load(&roots, "ca_file", set->ca_file, fault);
    if (err)
        return err;
    ret = gnutls_certificate_set_x509_trust_mem(c->cred, &roots, GNUTLS_X509_FMT_PEM);
    gnutls_free(roots.data);
    if (ret <= 0) {
        buf_printf(fault, "tls.ca_file: %s: no PEM certificate in it%s%s", set->ca_file, ret < 0 ? ": " : "",
                   ret < 0 ? gnutls_strerror(ret) : "");
        return TD_EINVAL;
    }
    /* The system's many roots would add 15 KB to every handshake. */
    c->name_roots = true;
    return TD_OK;
}

static int creds_new(struct creds **out, const struct tlsio_settings *set, struct buf *fault)
{
    struct creds *c = calloc(1, sizeof *c);
    const char *at = NULL;
    int err = TD_ENOMEM, ret;

    *out = NULL;
    if (!c) {
        buf_puts(fault, "tls: out of memory");
        return err;
    }
    c->refs = 1;
    c->client_certificate = set->client_certificate;
    c->wildcards = set->wildcards;
    if (resume_new(&c->resume) != TD_OK) {
        buf_puts(fault, "tls: out of memory");
        goto out;
    }
    ret = gnutls_certificate_allocate_credentials(&c->cred);
    if (ret == 0)
        ret = gnutls_session_ticket_key_generate(&c->ticket_key);
    if (ret < 0) {
        buf_printf(fault, "tls: %s", gnutls_strerror(ret));
        goto out;
    }
    ret = gnutls_priority_init(&c->priorities, set->priorities, &at);
    if (ret < 0) {
        buf_printf(fault, "tls.priorities: %s at \"%s\"", gnutls_strerror(ret), at ? at : set->priorities);
        err = TD_EINVAL;
        goto out;
    }
    err = load_certificate(c, set, fault);
    if (!err)
        err = load_roots(c, set, fault);
    if (err)
        goto out;
    *out = c;
    c = NULL;
out:
    creds_unref(c);
    return err;
}

int tlsio_server_new(struct tlsio_server **out, const struct tlsio_settings *set, struct buf *fault)
{
    struct tlsio_server *s = calloc(1, sizeof *s);
    int err;

    *out = NULL;
    if (!s) {
        buf_puts(fault, "tls: out of memory");
        return TD_ENOMEM;
    }
    err = creds_new(&s->creds, set, fault);
    if (err) {
        free(s);
        return err;
    }
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return TD_OK;
}

int tlsio_server_reload(struct tlsio_server *s, const struct tlsio_settings *set, struct buf *fault)
{
    struct creds *fresh, *old;
    int err = creds_new(&fresh, set, fault);

    if (err)
        return err;
    pthread_mutex_lock(&s->lock);
    old = s->creds;
    s->creds = fresh;
    pthread_mutex_unlock(&s->lock);
    creds_unref(old);
    return TD_OK;
}

void tlsio_server_free(struct tlsio_server **sp)
{
    struct tlsio_server *s = *sp;

    if (!s)
        return;
    *sp = NULL;
    creds_unref(s->creds);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct creds *server_creds(struct tlsio_server *s)
{
    struct creds *c;

    pthread_mutex_lock(&s->lock);
    c = s->creds;
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->lock);
    return c;
}

/* ---- the peer's certificate ---- */

/* Printable and without blanks: fit for a log, a table and a comparison. */
static void add_certificate(struct buf *names, gnutls_x509_crt_t crt)
{
    char text[PEER_NAME_SIZE];
    unsigned seq = 0;
    size_t n;

    for (; seq < PEER_NAMES_MAX; seq++) {
        int type;

        n = sizeof text;
        type = gnutls_x509_crt_get_subject_alt_name(crt, seq, text, &n, NULL);
        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (type < 0)
            break;
        if (type == GNUTLS_SAN_DNSNAME)
            certname_add(names, CERTNAME_DNS, sv_make(text, n));
        else if (type == GNUTLS_SAN_URI)
            certname_add_uri(names, sv_make(text, n));
        else if (type == GNUTLS_SAN_IPADDRESS)
            certname_add_ip(names, text, n);
    }
    n = sizeof text;
    if (seq == 0 && gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &n) == 0)
        certname_add(names, CERTNAME_CN, sv_make(text, n));
}

bool tlsio_peer_is(const struct tlsio_session *t, struct sv host, enum tlsio_verify rule)
{
    char text[ADDR_TEXT_MAX];
    struct addr ip;

    if (!t->names || rule == TLSIO_VERIFY_NONE)
        return false;
    if (addr_from_host(&ip, host, 0))
        return certname_has(t->names, CERTNAME_IP, sv_of(addr_host_text(&ip, text)));
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (rule == TLSIO_VERIFY_SIP) {
        if (certname_has_kind(t->names, CERTNAME_SIP))
            return certname_has(t->names, CERTNAME_SIP, host);
        if (certname_has(t->names, CERTNAME_CN, host) || (t->creds->wildcards && certname_has_wildcard(t->names, host)))
            return true;
    }
    return certname_has(t->names, CERTNAME_DNS, host);
}

const char *tlsio_peer_name(const struct tlsio_session *t)
{
    static const char kinds[] = { CERTNAME_DNS, CERTNAME_SIP, CERTNAME_IP, CERTNAME_CN };

    for (size_t i = 0; i < sizeof kinds; i++) {
        certname_each(name, t->names) {
            if (*name == kinds[i])
                return name + 1;
        }
    }
    return NULL;
}

static void set_fault(struct tlsio_session *t, struct buf *text)
{
    free(t->fault);
    t->fault = text->p;
    *text = BUF_INIT;
}

static int refuse(struct tlsio_session *t, struct buf *why)
{
    set_fault(t, why);
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* The certificate is good, but whose is it? */
static void tell_names(const struct tlsio_session *t, struct buf *why)
{
    int told = 0;

    buf_puts(why, "the certificate does not name ");
    buf_add_escaped(why, sv_of(t->host), PEER_NAME_SIZE);
    certname_each(name, t->names) {
        if (told == FAULT_NAMES_MAX) {
            buf_puts(why, "...");
            break;
        }
        buf_printf(why, "%s%s", told ? ", " : " but ", name + 1);
        told++;
    }
}

/* GnuTLS asks this when the peer has shown its certificate, before anything is sent that depends on it; and
 * we ask it once more for a resumed session. Notes the names of a good certificate. */
static int verify_peer(gnutls_session_t g)
{
    struct tlsio_session *t = gnutls_session_get_ptr(g);
    bool strict = t->is_server ? t->creds->client_certificate == CLIENT_CERT_REQUIRED : t->verify != TLSIO_VERIFY_NONE;
    gnutls_typed_vdata_st purpose = { GNUTLS_DT_KEY_PURPOSE_OID, (void *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER, 0 };
    gnutls_x509_crt_t crt = NULL;
    const gnutls_datum_t *chain;
    unsigned n = 0, status = 0;
    struct buf why = BUF_INIT, names = BUF_INIT;
    gnutls_datum_t text = { 0 };
    int ret;

    free(t->names);
    t->names = NULL;
    chain = gnutls_certificate_get_peers(g, &n);
    if (!chain || n == 0) {
        buf_puts(&why, "the peer has no certificate");
        goto bad;
    }
    /* Relays show their server certificate as client too, so only a host we dial must have one for servers. */
    ret = gnutls_certificate_verify_peers(g, &purpose, t->verify == TLSIO_VERIFY_HOST ? 1 : 0, &status);
    if (ret < 0) {
        buf_printf(&why, "the certificate cannot be checked: %s", gnutls_strerror(ret));
        goto bad;
    }
    if (status) {
        ret = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
        if (ret == 0)
            buf_add_sv(&why, sv_trim(sv_make(text.data, strlen((const char *)text.data))));
        gnutls_free(text.data);
        goto bad;
    }
    ret = gnutls_x509_crt_init(&crt);
    if (ret == 0)
        ret = gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER);
    if (ret == 0)
        add_certificate(&names, crt);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    buf_putc(&names, '\0');
    if (ret < 0 || buf_failed(&names)) {
        buf_printf(&why, "the certificate cannot be read: %s", ret < 0 ? gnutls_strerror(ret) : "out of memory");
        goto bad;
    }
    t->names = names.p;
    names = BUF_INIT;
    if (t->host && t->verify != TLSIO_VERIFY_NONE && !tlsio_peer_is(t, sv_of(t->host), t->verify)) {
        tell_names(t, &why);
        goto bad;
    }
    return 0;
bad:
    buf_fini(&names);
    if (strict)
        return refuse(t, &why);
    buf_fini(&why);
    return 0;
}

/* ---- sessions ---- */

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t n)
{
    struct tlsio_session *t = arg;

    if (t->in_n == 0) {
        gnutls_transport_set_errno(t->gnutls, EAGAIN);
        return -1;
    }
    n = TD_MIN(n, t->in_n);
    /* GnuTLS gathers a handshake message of up to 16 MB before it looks whether it wants one so large. */
    t->quiet += n;
    if (t->quiet > QUIET_MAX) {
        gnutls_transport_set_errno(t->gnutls, EIO);
        return -1;
    }
    memcpy(to, t->in, n);
    t->in += n;
    t->in_n -= n;
    return (ssize_t)n;
}

/* GnuTLS would poll a descriptor otherwise. */
static int pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
    const struct tlsio_session *t = arg;

    return t->in_n > 0;
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *p, size_t n)
{
    struct tlsio_session *t = arg;

    t->send(t->send_arg, p, n);
    return (ssize_t)n;
}

static int session_new(struct tlsio_session **out, struct tlsio_server *s, unsigned flags, tlsio_send_fn *send, void *arg)
{
    struct tlsio_session *t = calloc(1, sizeof *t);
    int ret, err = TD_ENOMEM;

    *out = NULL;
    if (!t)
        return err;
    t->creds = server_creds(s);
    t->send = send;
    t->send_arg = arg;
    t->is_server = flags & GNUTLS_SERVER;
    ret = gnutls_init(&t->gnutls, flags | GNUTLS_NONBLOCK);
    if (ret == 0)
        ret = gnutls_priority_set(t->gnutls, t->creds->priorities);
    if (ret == 0)
        ret = gnutls_credentials_set(t->gnutls, GNUTLS_CRD_CERTIFICATE, t->creds->cred);
    if (ret < 0) {
        err = ret == GNUTLS_E_MEMORY_ERROR ? TD_ENOMEM : TD_EIO;
        goto out;
    }
    gnutls_session_set_ptr(t->gnutls, t);
    gnutls_session_set_verify_function(t->gnutls, verify_peer);
    gnutls_transport_set_ptr(t->gnutls, t);
    gnutls_transport_set_pull_function(t->gnutls, pull);
    gnutls_transport_set_pull_timeout_function(t->gnutls, pull_timeout);
    gnutls_transport_set_push_function(t->gnutls, push);
    gnutls_handshake_set_timeout(t->gnutls, GNUTLS_INDEFINITE_TIMEOUT); /* the connection's timer sees to that */
    *out = t;
    t = NULL;
    err = TD_OK;
out:
    tlsio_free(&t);
    return err;
}

/* TLS 1.3 has nothing to keep before a ticket has come, and GnuTLS would wait for it. */
static void keep(struct tlsio_session *t)
{
    gnutls_datum_t data = { 0 };

    if (t->verify == TLSIO_VERIFY_NONE || (t->state != TLSIO_UP && t->state != TLSIO_CLOSED) ||
        (gnutls_protocol_get_version(t->gnutls) >= GNUTLS_TLS1_3 && !(gnutls_session_get_flags(t->gnutls) & GNUTLS_SFLAGS_SESSION_TICKET)))
        return;
    if (gnutls_session_get_data2(t->gnutls, &data) == 0)
        resume_put(t->creds->resume, t->verify, t->host, data.data, data.size);
    gnutls_free(data.data);
}

/* What is verified of the peer is verified again, when it is up: see handshake(). */
static void resume(struct tlsio_session *t)
{
    struct buf data = BUF_INIT;

    if (t->verify != TLSIO_VERIFY_NONE && resume_take(t->creds->resume, t->verify, t->host, &data))
        gnutls_session_set_data(t->gnutls, data.p, data.n); /* else it is a new one */
    buf_fini(&data);
}

void tlsio_free(struct tlsio_session **tp)
{
    struct tlsio_session *t = *tp;

    if (!t)
        return;
    *tp = NULL;
    if (t->gnutls) {
        keep(t);
        gnutls_deinit(t->gnutls);
    }
    creds_unref(t->creds);
    free(t->host);
    free(t->names);
    free(t->fault);
    free(t);
}

static void fail(struct tlsio_session *t, enum tlsio_state state, int ret)
{
    struct buf why = BUF_INIT;

    if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED) {
        const char *name = gnutls_alert_get_name(gnutls_alert_get(t->gnutls));

        buf_printf(&why, "fatal alert received: %s", name ? name : "unknown");
    } else {
        gnutls_alert_send_appropriate(t->gnutls, ret);
        if (ret == GNUTLS_E_REHANDSHAKE)
            buf_puts(&why, "renegotiation asked for");
        else if (t->quiet > QUIET_MAX)
            buf_puts(&why, "handshake messages are too long");
        else if (ret == GNUTLS_E_NO_CERTIFICATE_FOUND || ret == GNUTLS_E_CERTIFICATE_REQUIRED)
            buf_puts(&why, "the peer has no certificate");
        else if (!t->fault)
            buf_puts(&why, gnutls_strerror(ret));
    }
    if (why.p)
        set_fault(t, &why);
    t->state = (uint8_t)state;
}

static void handshake(struct tlsio_session *t)
{
    int ret;

    do
        ret = gnutls_handshake(t->gnutls);
    while (ret == GNUTLS_E_INTERRUPTED || ret == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (ret == GNUTLS_E_AGAIN)
        return;
    if (ret == 0 && gnutls_session_is_resumed(t->gnutls) &&
        (t->is_server ? t->creds->client_certificate != CLIENT_CERT_NONE : t->verify != TLSIO_VERIFY_NONE))
        ret = verify_peer(t->gnutls);
    if (ret < 0) {
        bool certificate = ret == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR || ret == GNUTLS_E_CERTIFICATE_ERROR ||
                           ret == GNUTLS_E_NO_CERTIFICATE_FOUND || ret == GNUTLS_E_CERTIFICATE_REQUIRED;

        fail(t, certificate ? TLSIO_FAILED_CERTIFICATE : TLSIO_FAILED_HANDSHAKE, ret);
        return;
    }
    t->quiet = 0;
    t->state = TLSIO_UP;
}

int tlsio_accept(struct tlsio_session **out, struct tlsio_server *s, tlsio_send_fn *send, void *arg)
{
    static const gnutls_certificate_request_t request[] = {
        [CLIENT_CERT_NONE] = GNUTLS_CERT_IGNORE,
        [CLIENT_CERT_OPTIONAL] = GNUTLS_CERT_REQUEST,
        [CLIENT_CERT_REQUIRED] = GNUTLS_CERT_REQUIRE,
    };
    static gnutls_datum_t http = { (unsigned char *)(uintptr_t)"http/1.1", 8 };
    struct tlsio_session *t;
    int err = session_new(&t, s, GNUTLS_SERVER, send, arg);

    *out = NULL;
    if (err)
        return err;
    if (!t->creds->has_certificate) {
        err = TD_EUNSUPP;
        goto out;
    }
    gnutls_certificate_server_set_request(t->gnutls, request[t->creds->client_certificate]);
    gnutls_certificate_send_x509_rdn_sequence(t->gnutls, !t->creds->name_roots);
    if (gnutls_alpn_set_protocols(t->gnutls, &http, 1, 0) < 0 ||
        gnutls_session_ticket_enable_server(t->gnutls, &t->creds->ticket_key) < 0) {
        err = TD_ENOMEM;
        goto out;
    }
    *out = t;
    t = NULL;
out:
    tlsio_free(&t);
    return err;
}

int tlsio_dial(struct tlsio_session **out, struct tlsio_server *s, const char *host, enum tlsio_verify verify, tlsio_send_fn *send,
               void *arg)
{
    struct tlsio_session *t;
    struct addr ip;
    int err = session_new(&t, s, GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, send, arg);

    *out = NULL;
    if (err)
        return err;
    t->verify = (uint8_t)verify;
    t->host = strdup(host);
    if (!t->host || (!addr_from_host(&ip, sv_of(host), 0) &&
                     gnutls_server_name_set(t->gnutls, GNUTLS_NAME_DNS, host, strlen(host)) < 0)) {
        err = TD_ENOMEM;
        goto out;
    }
    resume(t);
    handshake(t);
    *out = t;
    t = NULL;
out:
    tlsio_free(&t);
    return err;
}

enum tlsio_state tlsio_state(const struct tlsio_session *t)
{
    return t->state;
}

const char *tlsio_fault(const struct tlsio_session *t)
{
    return t->fault ? t->fault : "";
}

size_t tlsio_input(struct tlsio_session *t, const char *in, size_t n, size_t *used, char *out, size_t size)
{
    size_t got = 0;

    t->in = in;
    t->in_n = n;
    if (t->state == TLSIO_HANDSHAKING)
        handshake(t);
    while (t->state == TLSIO_UP && got < size) {
        size_t before = t->in_n;
        ssize_t ret = gnutls_record_recv(t->gnutls, out + got, size - got);

        if (ret > 0) {
            got += (size_t)ret;
            t->quiet = 0;
        } else if (ret == 0) {
            t->state = TLSIO_CLOSED;
        } else if (ret != GNUTLS_E_AGAIN && ret != GNUTLS_E_INTERRUPTED && ret != GNUTLS_E_WARNING_ALERT_RECEIVED) {
            fail(t, TLSIO_FAILED_RECORD, (int)ret);
        } else if (t->in_n == 0 || t->in_n == before) {
            break; /* else it was about a ticket or a key, not about want of bytes */
        }
    }
    *used = n - t->in_n;
    t->in = NULL;
    t->in_n = 0;
    return got;
}

int tlsio_output(struct tlsio_session *t, const void *p, size_t n)
{
    const char *from = p;

    if (t->state == TLSIO_HANDSHAKING)
        return TD_EAGAIN;
    if (t->state != TLSIO_UP && t->state != TLSIO_CLOSED)
        return TD_ECLOSED;
    while (n) {
        ssize_t ret = gnutls_record_send(t->gnutls, from, n);

        if (ret < 0) { /* never EAGAIN: push() takes all */
            fail(t, TLSIO_FAILED_RECORD, (int)ret);
            return TD_ECLOSED;
        }
        from += ret;
        n -= (size_t)ret;
    }
    return TD_OK;
}

void tlsio_bye(struct tlsio_session *t)
{
    if (t->state == TLSIO_UP || t->state == TLSIO_CLOSED)
        gnutls_bye(t->gnutls, GNUTLS_SHUT_WR);
}

const char *tlsio_version_text(const struct tlsio_session *t)
{
    return t->state == TLSIO_HANDSHAKING ? NULL : gnutls_protocol_get_name(gnutls_protocol_get_version(t->gnutls));
}

const char *tlsio_cipher_text(const struct tlsio_session *t)
{
    return t->state == TLSIO_HANDSHAKING ? NULL : gnutls_cipher_get_name(gnutls_cipher_get(t->gnutls));
}

bool tlsio_is_resumed(const struct tlsio_session *t)
{
    return t->state != TLSIO_HANDSHAKING && gnutls_session_is_resumed(t->gnutls);
}

const char *tlsio_alpn_text(const struct tlsio_session *t)
{
    gnutls_datum_t chosen;

    /* The only one that is ever chosen. */
    return gnutls_alpn_get_selected_protocol(t->gnutls, &chosen) == 0 ? "http/1.1" : NULL;
}
