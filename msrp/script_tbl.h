/* What scripts have for MSRP frames: functions, variables, a class of transformations. See script/func_tbl.h, var_tbl.h and
 * trans_tbl.h for the columns. Define those you need before including; the file undefines them all. One row, one line. */
#ifndef KSR_FN
#define KSR_FN(module, name, kind, args, params, fn, text)
#endif
#ifndef PV
#define PV(class_, key, kind, get, set, param, text)
#endif
#ifndef TRANS
#define TRANS(class_, name, n, fn, params, text)
#endif

KSR_FN("msrp", is_request, MSRP, "", "", ksr_is_request, "1 for a request, else \\-1.")
KSR_FN("msrp", is_reply, MSRP, "", "", ksr_is_reply, "1 for a response, else \\-1.")
KSR_FN("msrp", reply, MSRP, "is|s", "code, text, headers", ksr_reply, "Answer the request when the script has ended; a 2xx to a SEND when its last octet is there. 1, or \\-1 for what is no answer: to a response or a REPORT, a second one, malformed headers. What the sender has declined by Failure\\-Report is not sent.")
KSR_FN("msrp", relay, MSRP, "", "", ksr_relay, "Send the frame on when the script has ended: to what cmap_lookup has found, else to the next URI of To\\-Path as the built\\-in routing would. 1, or \\-1 when there is no such way. A response goes back to whom it belongs.")
KSR_FN("msrp", set_dst, MSRP, "s|s", "addr, sock", ksr_set_dst, "The request goes to this MSRP URI, whatever its paths say and whoever may use its tokens: by the connection whose peer has that address, as in $msrp(srcaddr), else by one that is opened, within msrp.forward_to. Of several the one at our listening socket proto:ip:port, as in $msrp(srcsock), and a new one is opened from its address; an unknown socket is ignored. 1, or \\-1 for what is no URI with a port; what is to be used is found by relay and forward.")
KSR_FN("msrp", forward, MSRP, "|ss", "tpath, fpath", ksr_forward, "Send the request on with To\\-Path replaced by tpath, and From\\-Path by fpath or, when there is none, by the old To\\-Path; to what set_dst has said, else to the first URI of tpath. Without both it goes to what set_dst has said as it is. 1, or \\-1 when there is no such way, or a path is malformed.")
KSR_FN("msrp", default, MSRP, "", "", ksr_default, "Leave the frame to the built\\-in routing, as if there were no script; what was ordered before is forgotten. 1, or \\-1 after cmap_save. Kamailio has no such function.")
KSR_FN("msrp", relay_flags, MSRP, "i", "flags", ksr_relay_flags, "For relay: 1 opens no connection, 2 closes the one that is used when all that was sent there is written and answered. 1.")
KSR_FN("msrp", reply_flags, MSRP, "i", "flags", ksr_reply_flags, "For reply: 2 closes the connection when all is sent; 1 says nothing, as an answer never opens one. 1.")
KSR_FN("msrp", cmap_save, MSRP, "", "", ksr_cmap_save, "For an AUTH that was authenticated: make a session, or renew the one that To\\-Path names, and answer 200 with its Use\\-Path. 1. \\-2: no AUTH. \\-3, \\-4: Expires is too small, too large; that was answered with 423. \\-1: refused and answered, with 403 when nobody was authenticated.")
KSR_FN("msrp", cmap_lookup, MSRP, "", "", ksr_cmap_lookup, "Find the session that the first URI of To\\-Path names and the way from there, by the rules of the built\\-in routing; 1. \\-4: there is no such session; for an AUTH that names one, too. Another negative number: the status with which the built\\-in routing would refuse. \\-1: the frame is an AUTH or a response, or for another relay; when that is neither relayed nor answered, its connection is closed, as the built\\-in routing does.")
KSR_FN("auth", auth_info, MSRP, "", "", ksr_auth_info, "The header line Authentication\\-Info for the answer to an AUTH that was authenticated, or an empty text; cmap_save sends it by itself. Kamailio has no such function.")
KSR_FN("hdr", is_present, MSRP, "s", "name", ksr_hdr_is_present, "1 when the frame has such a header, else \\-1.")
KSR_FN("hdr", get, MSRP, "s", "name", ksr_hdr_get, "The value of the first such header, or nil.")
KSR_FN("hdr", gete, MSRP, "s", "name", ksr_hdr_gete, "The same, an empty text when there is none.")
KSR_FN("hdr", getw, MSRP, "s", "name", ksr_hdr_getw, "The same, the text <<null>> when there is none.")
KSR_FN("auth", pv_www_authenticate, MSRP, "ss|i", "realm, password, flags", ksr_pv_www_authenticate, "Check the credentials of an AUTH against a password, or against an MD5 HA1 with flag 1. An empty realm is that of the configuration, here and below. 1; \\-2: wrong; \\-4: the nonce is too old; \\-5: none for that realm; \\-1: malformed, or for another URI; \\-6: an error of ours.")
KSR_FN("auth", pv_www_authenticate_method, MSRP, "ssis", "realm, password, flags, method", ksr_pv_www_authenticate, "The same. The method must be AUTH.")
KSR_FN("auth", auth_get_www_authenticate, MSRP, "sis", "realm, flags, name", ksr_get_www_authenticate, "Put the header lines of a challenge into a variable, one for each algorithm; 1. They say stale when the nonce was.")
KSR_FN("auth", has_credentials, MSRP, "s", "realm", ksr_has_credentials, "1 when the frame has credentials for that realm, else \\-1.")
KSR_FN("auth_db", www_authenticate, MSRP, "ss", "realm, table", ksr_db_www_authenticate, "The same as KSR.auth.pv_www_authenticate for the users in the database; the table must be subscriber. Their credentials are fetched before the script runs. \\-3: blocked.")
KSR_FN("auth_db", auth_check, MSRP, "ss|i", "realm, table, flags", ksr_db_www_authenticate, "The same.")

PV(msrp, "buf", MSRP, msrp_get_buf, NULL, "", "The frame: its head, and what of the body has arrived with it.")
PV(msrp, "buflen", MSRP, msrp_get_buflen, NULL, "", "Length of that.")
PV(msrp, "hdrs", MSRP, msrp_get_hdrs, NULL, "", "All header lines, the paths included.")
PV(msrp, "body", MSRP, msrp_get_body, NULL, "", "What of the body has arrived with the head; null without a body.")
PV(msrp, "bodylen", MSRP, msrp_get_bodylen, NULL, "", "Length of that; 0 without a body.")
PV(msrp, "method", MSRP, msrp_get_method, NULL, "", "Method of a request; as a number 1 SEND, 2 AUTH, 3 REPORT, 0 another. Null for a response.")
PV(msrp, "code", MSRP, msrp_get_code, NULL, "", "Status of a response, a text and a number; null for a request.")
PV(msrp, "reason", MSRP, msrp_get_reason, NULL, "", "Comment of a response; null for a request.")
PV(msrp, "transid", MSRP, msrp_get_transid, NULL, "", "Transaction identifier.")
PV(msrp, "msgid", MSRP, msrp_get_msgid, NULL, "", "Message\\-ID; null when there is none.")
PV(msrp, "sessid", MSRP, msrp_get_sessid, NULL, "", "Session\\-id of the first URI of To\\-Path; null when it has none.")
PV(msrp, "crthop", MSRP, msrp_get_crthop, NULL, "", "First URI of To\\-Path.")
PV(msrp, "nexthop", MSRP, msrp_get_nexthop, NULL, "", "Second URI of To\\-Path; null when there is none.")
PV(msrp, "lasthop", MSRP, msrp_get_lasthop, NULL, "", "Last URI of To\\-Path.")
PV(msrp, "prevhop", MSRP, msrp_get_prevhop, NULL, "", "First URI of From\\-Path.")
PV(msrp, "firsthop", MSRP, msrp_get_firsthop, NULL, "", "Last URI of From\\-Path: the originator.")
PV(msrp, "prevhops", MSRP, msrp_get_prevhops, NULL, "", "Number of URIs in From\\-Path.")
PV(msrp, "nexthops", MSRP, msrp_get_nexthops, NULL, "", "Number of URIs in To\\-Path behind the first.")
PV(msrp, "srcaddr", MSRP, msrp_get_srcaddr, NULL, "", "The sender: msrp://ADDRESS:PORT, or msrps:// over TLS.")
PV(msrp, "srcsock", MSRP, msrp_get_srcsock, NULL, "", "Our end of its connection: tcp:ADDRESS:PORT or tls:ADDRESS:PORT.")
PV(msrp, "conid", MSRP, msrp_get_conid, NULL, "", "Number of its connection, as in the table connection.")
PV(hdr, NULL, MSRP, msrp_get_hdr, NULL, "NAME", "A header of the frame, any case; with an index another one of that name. With msrp.sipmsg also those that Kamailio puts before them: Via, From, To, Call\\-ID, CSeq, Content\\-Length, MSRP\\-First\\-Line.")
PV(si, "", MSRP, msrp_get_si, NULL, "", "Address of the sender.")
PV(sp, "", MSRP, msrp_get_sp, NULL, "", "Its port.")
PV(Ri, "", MSRP, msrp_get_Ri, NULL, "", "Our address of its connection.")
PV(Rp, "", MSRP, msrp_get_Rp, NULL, "", "Our port of it.")
PV(proto, "", MSRP, msrp_get_proto, NULL, "", "tcp or tls.")
PV(rm, "", MSRP, msrp_get_rm, NULL, "", "The text MSRP: method of the SIP view; null without msrp.sipmsg.")
PV(au, "", MSRP, msrp_get_au, NULL, "", "User name of the Authorization header, not verified; null without one or without msrp.sipmsg.")
PV(ar, "", MSRP, msrp_get_ar, NULL, "", "Realm of it.")

TRANS(msrpuri, user, 0, trans_uri_user, "", "User of an MSRP URI: of its userinfo what is before a colon. Of a text that is no MSRP URI these all are null; a part that is not there is empty.")
TRANS(msrpuri, userinfo, 0, trans_uri_userinfo, "", "All that is before the @.")
TRANS(msrpuri, host, 0, trans_uri_host, "", "Host; an IPv6 address with its brackets.")
TRANS(msrpuri, port, 0, trans_uri_port, "", "Port.")
TRANS(msrpuri, session, 0, trans_uri_session, "", "Session\\-id.")
TRANS(msrpuri, proto, 0, trans_uri_proto, "", "Transport: tcp.")
TRANS(msrpuri, params, 0, trans_uri_params, "", "Parameters behind it.")
TRANS(msrpuri, scheme, 0, trans_uri_scheme, "", "Scheme: msrp or msrps.")

#undef KSR_FN
#undef PV
#undef TRANS
