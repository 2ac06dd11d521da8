/* Every configuration key: one row each. Structs, parsing, checks and the man page come from here.
 *
 * CONF_BEGIN(section, sentence)  rows  CONF_END(section)
 * CONF(section, key, type, default, min, max, unit, apply, sentence)
 *   type     STR BOOL INT SIZE LIST ENUM_xxx
 *   default  as text, as an operator would write it
 *   min max  for INT (in its unit) and SIZE (bytes); 0 0 elsewhere
 *   apply    LIVE: a reload puts a new value in force; RESTART: a restart does
 * CONF_LISTEN: the same for [listen.NAME] sections, which repeat; all others occur once.
 * Define those you need before including; the file undefines them all. One row, one line. */
#ifndef CONF_BEGIN
#define CONF_BEGIN(section, text)
#endif
#ifndef CONF_END
#define CONF_END(section)
#endif
#ifndef CONF
#define CONF(section, key, type, def, min, max, unit, apply, text)
#endif
#ifndef CONF_LISTEN
#define CONF_LISTEN(key, type, def, min, max, unit, apply, text)
#endif

CONF_BEGIN(server, "The process itself.")
CONF(server, database, STR, LOCALSTATEDIR "/lib/tandem/tandem.db", 0, 0, "", RESTART, "SQLite database file, made on first start.")
CONF(server, control, STR, RUNSTATEDIR "/tandem/tandem.sock", 0, 0, "", RESTART, "Unix socket for tandemctl.")
CONF(server, workers, INT, "0", 0, 128, "", RESTART, "Relay threads; 0 means one for each core.")
CONF(server, user, STR, "", 0, 0, "", RESTART, "Become this user after the ports are bound; empty means stay.")
CONF(server, log_level, ENUM_LOG_LEVEL, "info", 0, 0, "", LIVE, "Least important messages to log: error, warning, notice, info or debug.")
CONF(server, log_to, ENUM_LOG_TO, "stderr", 0, 0, "", RESTART, "Where the log goes: stderr, syslog or journal.")
CONF(server, drain_time, INT, "10", 0, 3600, "s", LIVE, "Time given to running sessions at a stop.")
CONF_END(server)

CONF_BEGIN(tls, "Certificates and what is demanded of peers.")
CONF(tls, certificate, STR, "", 0, 0, "", LIVE, "Certificate chain in PEM; needed when a port has tls or wss.")
CONF(tls, private_key, STR, "", 0, 0, "", LIVE, "Private key in PEM.")
CONF(tls, ca_file, STR, "", 0, 0, "", LIVE, "Trusted roots in PEM; empty means the system's.")
CONF(tls, client_certificate, ENUM_CLIENT_CERT, "optional", 0, 0, "", LIVE, "Whether a TLS client is asked for a certificate: none, optional or required.")
CONF(tls, priorities, STR, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-MAC-ALL:+AEAD", 0, 0, "", LIVE, "GnuTLS priority string; the default has only authenticated ciphers (AEAD) with forward secrecy, and :+RSA:+SHA1 appended to it lets in clients that know nothing newer than TLS_RSA_WITH_AES_128_CBC_SHA.")
CONF(tls, wildcards, BOOL, "no", 0, 0, "", LIVE, "Whether a certificate of *.DOMAIN is good for the names right below DOMAIN when SIP goes to them over TLS; RFC 5922 forbids it, some public authorities issue no others; MSRP takes none.")
CONF_END(tls)

CONF_BEGIN(auth, "Digest authentication, for both protocols.")
CONF(auth, realm, STR, "", 0, 0, "", LIVE, "Digest realm; empty means the first of sip.domains.")
CONF(auth, algorithms, LIST, "SHA-256 MD5", 0, 0, "", LIVE, "Digest algorithms offered, in this order; MD5 goes last.")
CONF(auth, nonce_lifetime, INT, "900", 10, 86400, "s", LIVE, "How long a challenge may be used.")
CONF(auth, nonce_first_use, INT, "60", 1, 86400, "s", LIVE, "How long a challenge may wait for its first use.")
CONF(auth, require_qop, BOOL, "no", 0, 0, "", LIVE, "SIP credentials without qop, which RFC 2069 had and very old clients send, are answered with a new challenge; no: each nonce is good for one request of them; MSRP takes none at all.")
CONF(auth, max_failures, INT, "5", 1, 1000, "", LIVE, "Failed attempts on one connection before it is closed; for SIP in a row.")
CONF_END(auth)

CONF_BEGIN(msrp, "The MSRP relay.")
CONF(msrp, sipmsg, BOOL, "1", 0, 0, "", RESTART, "Build the SIP view of each frame for scripts.")
CONF(msrp, cmap_size, INT, "8", 0, 24, "", RESTART, "The session table starts with 2^N slots; it grows by itself.")
CONF(msrp, timer_interval, INT, "60", 1, 3600, "s", RESTART, "Accepted, so that a configuration of Kamailio's module can be taken over, and without effect: every session ends in the second it expires, by a timer of its own.")
CONF(msrp, auth_min_expires, INT, "60", 1, 86400, "s", LIVE, "Shortest lifetime a client may ask for, and how long a token without a connection waits for its owner.")
CONF(msrp, auth_max_expires, INT, "3600", 1, 604800, "s", LIVE, "Longest lifetime a client may ask for, and the default.")
CONF(msrp, use_path_addr, STR, "", 0, 0, "", RESTART, "HOST:PORT put into Use-Path; empty means the socket's own address.")
CONF(msrp, event_callback, STR, "", 0, 0, "", LIVE, "Script function run for every frame; empty means built-in routing.")
CONF(msrp, require_tls, BOOL, "yes", 0, 0, "", LIVE, "Serve AUTH and msrps tokens over TLS only.")
CONF(msrp, endpoint_tls, ENUM_ENDPOINT_TLS, "opportunistic", 0, 0, "", LIVE, "Certificates of last-hop endpoints: opportunistic (self-signed accepted) or verify.")
CONF(msrp, response_timeout, INT, "30", 1, 300, "s", LIVE, "Time a next hop has to answer, and as much again while the relay does not read from it for the sake of a slow receiver.")
CONF(msrp, connect_timeout, INT, "10", 1, 300, "s", LIVE, "Time for connecting and TLS handshake, for each address.")
CONF(msrp, probation, INT, "30", 1, 3600, "s", LIVE, "A new connection must have had one accepted request by then.")
CONF(msrp, idle_timeout, INT, "3600", 1, 604800, "s", LIVE, "Connections without live tokens or bindings are closed after this time.")
CONF(msrp, max_header, SIZE, "16k", 1024, 32768, "bytes", LIVE, "Longest start line and headers of one frame.")
CONF(msrp, buffer, SIZE, "1M", 16384, 1073741824, "bytes", LIVE, "Data of one session that waits for a slow receiver, before its sender is paused.")
CONF(msrp, forward_to, LIST, "public", 0, 0, "", RESTART, "Next hops allowed, by their resolved addresses: public, private, loopback, or CIDRs; for SIP, too, if sip.forward_to is empty.")
CONF(msrp, forward_ports, LIST, "1-65535", 0, 0, "", LIVE, "Ports of next hops allowed, such as 443 2855 1024-65535; 9 never is.")
CONF(msrp, max_message, SIZE, "0", 0, 1125899906842624, "bytes", LIVE, "Largest message relayed, 413 for others; 0 means any size.")
CONF(msrp, accept_types, LIST, "*", 0, 0, "", LIVE, "Media types relayed, 415 for others: type/subtype, type/* or *.")
CONF(msrp, methods, LIST, "*", 0, 0, "", LIVE, "Methods relayed beside SEND, REPORT and AUTH, 501 for others: names, or * for all; empty means none.")
CONF_END(msrp)

CONF_BEGIN(sip, "The SIP proxy and registrar.")
CONF(sip, domains, LIST, "", 0, 0, "", RESTART, "Domains served; a request for another is proxied or refused as policy says; names by which clients know this server as their outbound proxy, and so put into Route, belong here, too, behind the first.")
CONF(sip, record_route, BOOL, "yes", 0, 0, "", LIVE, "Stay in the path of dialogs.")
CONF(sip, transport_tls, BOOL, "no", 0, 0, "", LIVE, "Record-Route names a side that speaks TLS as sip with transport=tls, which RFC 5630 does not want any more, instead of as sips: for clients that know no sips and cannot end a call otherwise, baresip among them.")
CONF(sip, min_expires, INT, "60", 1, 86400, "s", LIVE, "Shortest registration.")
CONF(sip, default_expires, INT, "3600", 1, 604800, "s", LIVE, "Lifetime of a registration that asks for none.")
CONF(sip, max_expires, INT, "86400", 1, 2592000, "s", LIVE, "Longest registration.")
CONF(sip, max_contacts, INT, "10", 1, 1000, "", LIVE, "Contacts of one address of record.")
CONF(sip, path_unasked, BOOL, "no", 0, 0, "", LIVE, "A REGISTER that comes with a Path, from a client that does not say Supported: path, is accepted; no: refused with 420 (RFC 3327).")
CONF(sip, flow_timer, INT, "120", 0, 3600, "s", LIVE, "How often a client with an outbound registration (RFC 5626) is to send a keep-alive; half as long again without a sign of it ends its connection; 0 asks for none.")
CONF(sip, failover_time, INT, "8", 1, 32, "s", LIVE, "A server that has not answered a request at all in that time is given up for the next one of its domain, if there is one (RFC 3263).")
CONF(sip, authenticate, LIST, "register request", 0, 0, "", LIVE, "What is challenged for local users: register, request.")
CONF(sip, trusted, LIST, "", 0, 0, "", LIVE, "Trunks and proxies, each ADDRESS or ADDRESS/BITS: their requests, but for REGISTER, need no credentials, may name any caller and go to any domain; over UDP a source can be forged, so name none that strangers can send from.")
CONF(sip, forward_to, LIST, "", 0, 0, "", RESTART, "Next hops allowed for SIP, by their resolved addresses: public, private, loopback, or CIDRs; empty means as msrp.forward_to (a registered client is always reached where its requests come from).")
CONF(sip, foreign_callers, BOOL, "yes", 0, 0, "", LIVE, "Whoever is no user of sip.domains may reach users here, without credentials; no: sip.trusted alone.")
CONF(sip, foreign_callees, BOOL, "yes", 0, 0, "", LIVE, "Users, once they have shown their password, may reach other domains.")
CONF(sip, edge_for, LIST, "", 0, 0, "", LIVE, "Domains of other registrars whose users connect through this server (edge proxy of RFC 5626): what goes there passes without credentials, a REGISTER with Path.")
CONF(sip, event_callback, STR, "", 0, 0, "", LIVE, "Script function run for every request; empty means built-in routing.")
CONF_END(sip)

CONF_BEGIN(websocket, "WebSockets, for browsers: SIP (RFC 7118) and MSRP (RFC 7977) on ports whose transports have ws or wss.")
CONF(websocket, origins, LIST, "", 0, 0, "", LIVE, "Web sites whose pages may connect, each SCHEME://HOST[:PORT] as browsers write it in Origin; others are answered 403, and empty means any; who sends no Origin is no browser, and may always.")
CONF(websocket, max_message, SIZE, "1M", 4096, 1073741824, "bytes", LIVE, "Longest message taken, the headers of an MSRP request (msrp.max_header) not counted; a longer one ends the connection with status 1009.")
CONF(websocket, ping_interval, INT, "30", 1, 3600, "s", LIVE, "A client that was silent for so long is sent a ping; two without any sign of it end the connection.")
CONF(websocket, tls_in_front, BOOL, "no", 0, 0, "", RESTART, "TLS ends in a proxy in front of this server: what comes to it as ws is wss on the client's side, and MSRP is spoken on it, too.")
CONF_END(websocket)

CONF_BEGIN(script, "Routing policy of your own.")
CONF(script, file, STR, "", 0, 0, "", LIVE, "Lua 5.4 script.")
CONF(script, htable, LIST, "", 0, 0, "", RESTART, "Hash tables, each NAME=>OPTION=VALUE;OPTION=VALUE with the options size, autoexpire, updateexpire and initval.")
CONF(script, instructions, INT, "100000", 1000, 1000000000, "", LIVE, "Instructions of Lua that one event may take; then it is stopped.")
CONF(script, memory, SIZE, "16M", 1048576, 1073741824, "bytes", LIVE, "Memory of the script in each worker.")
CONF(script, pike_reqs_density_per_unit, INT, "30", 1, 1000000, "", RESTART, "What KSR.pike.pike_check_req() allows a source in each sampling time.")
CONF(script, pike_sampling_time_unit, INT, "2", 1, 3600, "s", RESTART, "That time.")
CONF_END(script)

CONF_BEGIN(dns, "Name resolution.")
CONF(dns, servers, LIST, "", 0, 0, "", RESTART, "Name servers, each ADDRESS[:PORT]; empty means those of the system.")
CONF_END(dns)

CONF_BEGIN(limits, "Protection against floods.")
CONF(limits, connections, INT, "100000", 1, 10000000, "", LIVE, "Open connections, accepted and dialled; beyond it those unused for longest, without token or binding, make room.")
CONF(limits, connections_per_address, INT, "1000", 1, 10000000, "", LIVE, "Open connections of one source address.")
CONF(limits, sessions, INT, "200000", 1, 10000000, "", LIVE, "MSRP sessions (Use-Path tokens).")
CONF(limits, sessions_per_connection, INT, "1000", 1, 10000000, "", LIVE, "MSRP sessions of one connection, but for those of another relay.")
CONF(limits, sessions_per_user, INT, "2000", 1, 10000000, "", LIVE, "MSRP sessions of one user.")
CONF(limits, requests_per_second, INT, "0", 0, 1000000, "1/s", LIVE, "SIP requests and AUTHs of one source address; 0 means no limit.")
CONF(limits, ban_time, INT, "300", 1, 604800, "s", LIVE, "How long a source over its limits is shut out.")
CONF(limits, memory, SIZE, "0", 0, 1099511627776, "bytes", LIVE, "What may be held for peers before bulk, new tokens and new connections have to wait; 0 means half of the machine's memory.")
CONF(limits, transactions, INT, "0", 0, 10000000, "", LIVE, "SIP transactions, incoming and outgoing, over UDP until 32 s after their end; beyond it new requests are answered 503 with Retry-After; 0 means what half of the machine's memory holds, 150000 at most.")
CONF(limits, scanners, LIST, "friendly-scanner sipvicious sipcli sip-scan sundayddr vaxsipuseragent pplsip", 0, 0, "", LIVE, "A SIP request whose User-Agent holds one of these words is dropped without an answer, and its source shut out for ban_time; over UDP, where a source can be forged, it is dropped only.")
CONF_END(limits)

CONF_BEGIN(accounting, "Records of calls and messages.")
CONF(accounting, enabled, BOOL, "yes", 0, 0, "", RESTART, "Write one row for each call and each relayed message.")
CONF(accounting, keep, INT, "0", 0, 36500, "days", LIVE, "How long rows of acc and acc_msrp are kept, and rows of connections and sessions that have ended; 0 means for ever.")
CONF_END(accounting)

CONF_BEGIN(admin, "The dashboard.")
CONF(admin, address, STR, "", 0, 0, "", RESTART, "HOST:PORT of the dashboard, /metrics and /healthz; empty means off.")
CONF_END(admin)

CONF_LISTEN(address, LIST, "0.0.0.0:5060 [::]:5060", 0, 0, "", RESTART, "Addresses to listen on, each HOST:PORT or [IPv6]:PORT.")
CONF_LISTEN(transports, LIST, "udp tcp tls ws wss", 0, 0, "", RESTART, "Transports served, told apart on the same port by the first bytes: udp, tcp, tls, ws, wss.")
CONF_LISTEN(protocols, LIST, "sip msrp", 0, 0, "", RESTART, "Protocols served: sip, msrp.")
CONF_LISTEN(advertise, STR, "", 0, 0, "", RESTART, "Host by which others reach these addresses when it is not the address itself, as behind a NAT: a name, an IPv4 address, or [IPv6], with the same ports; SIP has it in Via, Record-Route and Path; an address counts for its own kind alone (for MSRP: msrp.use_path_addr).")

#undef CONF_BEGIN
#undef CONF_END
#undef CONF
#undef CONF_LISTEN
