/* The demultiplexer: which protocol does a new connection speak?
 *
 * sniff() is pure and decides on the whole first line (`MSRP sip:bob@x SIP/2.0`
 * is a SIP request with method MSRP). sniff_proto is the protocol every accepted connection starts
 * with; it hands the connection on. */
#pragma once

#include "net/conn.h"

enum sniffed {
    SNIFF_MORE,  /* undecided: more bytes are needed */
    SNIFF_TLS,   /* a TLS record */
    SNIFF_HTTP,  /* an HTTP request */
    SNIFF_MSRP,  /* an MSRP request or response */
    SNIFF_SIP,   /* anything else with a first line */
    SNIFF_CRLF,  /* one CRLF to skip */
    SNIFF_PING,  /* CRLF CRLF: SIP keep-alive, to be answered with CRLF (RFC 5626 s.5.4) */
    SNIFF_BAD,   /* no line end within SNIFF_LINE_MAX bytes */
};

enum { SNIFF_LINE_MAX = 4096 };

enum sniffed sniff(const char *p, size_t n);

extern const struct conn_proto sniff_proto;
