"""Scenarios for sipp, put together from steps: what a step sends or awaits is SIP as it is on the wire."""

SDP = "v=0\no=- 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\nm=audio 9 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
ECHOED = "[last_Via:]\n[last_Record-Route:]\n[last_From:]\n[last_To:]%s\n[last_Call-ID:]\n[last_CSeq:]\n"


def send(text, body="", retrans=False, step=""):
    length = "Content-Type: application/sdp\nContent-Length: [len]\n" if body else "Content-Length: 0\n"
    return "<send%s%s><![CDATA[\n%s%s\n%s]]></send>\n" % (' retrans="500"' if retrans else "", step, text, length, body)


def expect(response, optional=False, rrs=False, auth=False):
    return '<recv response="%d"%s%s%s />\n' % (response, ' optional="true"' if optional else "", ' rrs="true"' if rrs else "", ' auth="true"' if auth else "")


def await_request(method):
    return '<recv request="%s"%s />\n' % (method, ' rrs="true"' if method == "INVITE" else "")


def await_invite_and_keep_its_vias():
    keep = "".join('<ereg regexp=".*" search_in="hdr" header="Via:" occurrence="%d" assign_to="%d" />' % (i, i) for i in (1, 2))
    return '<recv request="INVITE" rrs="true"><action>%s</action></recv>\n' % keep


def pause(ms):
    return '<pause milliseconds="%d" />\n' % ms


def request(method, uri, user, to, cseq, more="", body="", in_dialog=False, branch="[branch]"):
    return send("%s %s SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=%s\n%sFrom: <sip:%s@example.com>;tag=[call_number]\n"
                "To: <sip:%s@example.com>%s\nCall-ID: [call_id]\nCSeq: %d %s\nMax-Forwards: 70\n%s" %
                (method, "[next_url]" if in_dialog else uri, branch, "[routes]\n" if in_dialog else "", user, to,
                 "[peer_tag_param]" if in_dialog else "", cseq, method, more), body, retrans=method not in ("ACK", "CANCEL"))


def contact(user):
    return "Contact: <sip:%s@[local_ip]:[local_port];transport=[transport]>\n" % user


def answer(line, body="", tag=";tag=b[call_number]", more=""):
    return send("SIP/2.0 %s\n%s%s" % (line, ECHOED % tag, more), body, retrans=line.startswith(("200", "4")) and bool(tag))


# ---- whole ones

def register(user, wait_ms, credentials="", expires=300, again=0):
    """With digest when credentials are given; again: refreshed so often."""
    ask = lambda cseq, more: request("REGISTER", "sip:example.com", user, user, cseq, contact(user) + "Expires: %d\n%s" % (expires, more))
    steps = ""
    for i in range(again + 1):
        # What was sent again, on a slow machine, is answered again.
        if credentials:
            steps += ask(2 * i + 1, "") + (expect(200, optional=True) if i else "") + expect(401, auth=True)
        steps += ask(2 * i + 2, credentials and credentials + "\n") + (expect(401, optional=True) if credentials else "") + expect(200)
    return steps + (pause(wait_ms) if wait_ms else "")


INVITE = request("INVITE", "sip:bob@example.com", "alice", "bob", 1, contact("alice"), SDP)
ACK_OF_REFUSAL = send("ACK sip:bob@example.com SIP/2.0\n[last_Via:]\nFrom: <sip:alice@example.com>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\n"
                      "CSeq: 1 ACK\nMax-Forwards: 70\n")
RINGS = expect(100, optional=True) + expect(180, optional=True)


def calls():
    return (INVITE + RINGS + expect(200, rrs=True) + request("ACK", "", "alice", "bob", 1, in_dialog=True) +
            request("BYE", "", "alice", "bob", 2, in_dialog=True) + expect(100, optional=True) + expect(200)) # a 100 after 3.5 s: RFC 4320


def gives_up():
    cancel = ("CANCEL sip:bob@example.com SIP/2.0\n[last_Via:]\nFrom: <sip:alice@example.com>;tag=[call_number]\nTo: <sip:bob@example.com>\n"
              "Call-ID: [call_id]\nCSeq: 1 CANCEL\nMax-Forwards: 70\n")
    return INVITE + expect(100, optional=True) + expect(180) + send(cancel, retrans=True) + expect(200) + expect(487) + ACK_OF_REFUSAL


def is_refused(status):
    return INVITE + RINGS + expect(status) + ACK_OF_REFUSAL


def answers(ring_ms=0):
    return (await_request("INVITE") + answer("180 Ringing", more=contact("bob")) + (pause(ring_ms) if ring_ms else "") +
            answer("200 OK", SDP, more=contact("bob")) + await_request("ACK") + await_request("BYE") + answer("200 OK", tag=""))


def rings_until_cancelled():
    refusal = ("SIP/2.0 487 Request Terminated\nVia:[$1]\nVia:[$2]\n[last_From:]\n[last_To:];tag=b[call_number]\n[last_Call-ID:]\nCSeq: 1 INVITE\n")
    return (await_invite_and_keep_its_vias() + answer("180 Ringing", more=contact("bob")) + await_request("CANCEL") +
            answer("200 OK", tag=";tag=b[call_number]").replace(' retrans="500"', "") + send(refusal, retrans=True) + await_request("ACK"))


def is_busy():
    return await_request("INVITE") + answer("486 Busy Here") + await_request("ACK")


def whole(steps, transport=None):
    """As a file for sipp; transport: what Via and Contact are to say instead of what sipp itself speaks."""
    text = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="%s">\n%s</scenario>\n' % ("tandem", steps)
    return text.replace("[transport]", transport) if transport else text
