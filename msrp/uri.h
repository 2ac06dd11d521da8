/* MSRP URIs and paths: parsing and comparison (RFC 4975 s.6, s.6.1, s.9; RFC 7977 s.5.2).
 *
 * Everything is a view into the text that was parsed; nothing is normalised or
 * copied. Pure functions. */
#pragma once

#include "common/sv.h"

enum { MSRP_URI_MAX = 1024 /* bytes */, MSRP_PATH_MAX = 16 /* URIs */ };

struct msrp_uri {
    struct sv text;       /* all of it, byte for byte */
    struct sv scheme;     /* msrp or msrps, any case */
    struct sv userinfo;   /* without @; empty: none */
    struct sv host;       /* IPv6 keeps its brackets */
    struct sv port;       /* digits; empty: none */
    struct sv session;    /* session-id; empty: none */
    struct sv transport;  /* first parameter */
    struct sv params;     /* what follows the transport, without the leading semicolon */
    uint16_t port_number; /* 0: none */
    bool secure;          /* msrps */
};

/* Parse exactly this text. False: not an MSRP URI, or longer than MSRP_URI_MAX. */
bool msrp_uri_parse(struct msrp_uri *u, struct sv text);

/* Equal by the rules of RFC 4975 s.6.1: scheme, host (percent-escapes decoded, IP literals by value), port,
 * session-id (exact), transport; userinfo and further parameters do not count. */
bool msrp_uri_eq(const struct msrp_uri *a, const struct msrp_uri *b);

/* Are the hosts equal by the same rules? */
bool msrp_host_eq(struct sv a, struct sv b);

/* Walk the URIs of a path: takes the first word off *rest. False at the end. Words are separated by exactly one space;
 * where there are more, the word between them is empty and no URI, as a path is handed on as it came (M-FRM-08,
 * M-URI-11). */
bool msrp_path_next(struct sv *rest, struct sv *word);

/* Number of URIs; 0 when a path is empty or has more than MSRP_PATH_MAX. Every URI must parse. */
size_t msrp_path_parse(struct sv path, struct msrp_uri *uris, size_t max);

/* Has each of them an explicit port, as only the To-Path of an AUTH need not (RFC 4976 s.8)? */
bool msrp_path_has_ports(const struct msrp_uri *uris, size_t n);
