"""The messages of RFC 4475 (SIP torture tests) and RFC 5118 (the same for IPv6), written anew from what the RFCs say about
each of them, with users and domains of the server under test. Each is a Case: the bytes and what must come of them.

In the texts @V@ is the sender's `SIP/2.0/TRANSPORT host:port`, @T@ his transport, @I@ unique for each sending. Lines end
with CRLF as written here; \\-escapes are those of Python.
"""


class Case:
    """expect: a status for the sender, "forward" (bob gets it, in which the strings of `keep` are, and answers), or "drop"."""

    def __init__(self, name, text, expect, keep=(), lose=(), body=b"", stream=None, user="bob"):
        self.name, self.text, self.expect, self.keep, self.lose, self.body = name, text, expect, keep, lose, body
        self.on_stream = expect if stream is None else stream
        self.user = user

    def data(self, ua, serial):
        sent_by = "SIP/2.0/%s %s:%d" % (ua.kind.upper(), ua.s.host, ua.s.port)
        text = self.text.strip("\n").replace("@V@", sent_by).replace("@T@", ua.kind.upper()).replace("@I@", serial)
        return text.encode("utf-8").replace(b"\n", b"\r\n") + b"\r\n\r\n" + self.body


def plain(line, extra="", method="OPTIONS", via="Via: @V@;branch=z9hG4bK@I@\n", from_="<sip:caller@caller.invalid>;tag=@I@", to="<sip:bob@example.com>",
          cseq=None, length=0):
    return ("%s\n%sMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: @I@@torture\nCSeq: %s\n%sContent-Length: %s\n"
            % (line, via, from_, to, cseq or "42 " + method, extra and extra + "\n", length))


LONG = "very" * 40
SDP = b"v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.3\r\ns=-\r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0 12\r\n"
PARTS = (b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n"
         + bytes(range(256)) + b"\0\0\r\n\r\n--7a9cbec02ceef655--\r\n")
WEIRD = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"

RFC4475 = [
    Case("wsinv", """
INVITE sip:bob@example.com;unknownparam SIP/2.0
TO :
 sip:bob@example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\\\\""       <sip:jdrosen@caller.invalid>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.@I@@192.0.2.1
Content-Length   : %d
cseq: 0009
  INVITE
Via  : @V@;branch=390skdjuw@I@
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:example.com;unknownwith=value;unknown-no-value;lr>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \\"\\"" <sip:jdrosen@caller.invalid> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
""" % len(SDP), "forward", ("Max-Forwards: 67\r\n", "UnknownHeaderWithUnusualValue: ;;,,;;,;", "newfangled value", "spindle.example.com",
                              "192.168.255.111"), body=SDP),
    Case("intmeth", plain("!interesting-Method0123456789_*+`.%%indeed'~ sip:%s@example.com SIP/2.0" % WEIRD, method="!interesting-Method0123456789_*+`.%indeed'~",
                          extra="extensionHeader-!.%*+_`'~: \x00".replace("\x00", "\u6f22\u5b57")), 404),
    Case("intmeth to a user", plain("!interesting-Method0123456789_*+`.%indeed'~ sip:bob@example.com SIP/2.0", method="!interesting-Method0123456789_*+`.%indeed'~"), "forward",
         ("!interesting-Method0123456789_*+`.%indeed'~ sip:bob@",)),
    Case("esc01", plain("INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0", method="INVITE",
                        extra="Contact: <sip:cal%6Cer@192.0.2.2;%6C%72;n%61me=v%61lue%25%34%31>"), "forward", ("Contact: <sip:cal%6Cer@192.0.2.2;%6C%72;n%61me=v%61lue%25%34%31>\r\n",)), # no double unescape: it passes as it came
    Case("escnull", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="sip:null-%00-null@example.com;tag=@I@", to="sip:null-%00-null@example.com",
                          extra="Contact: <sip:%00@192.0.2.1>\nContact: <sip:%00%00@192.0.2.1>"), 200, ("<sip:%00@192.0.2.1>", "<sip:%00%00@192.0.2.1>")),
    Case("esc02", plain("RE%47IST%45R sip:bob@example.com SIP/2.0", method="RE%47IST%45R", extra="C%6Fntact: <sip:alias1@192.0.2.9>"), "forward",
         ("RE%47IST%45R sip:bob@", "C%6Fntact: <sip:alias1@192.0.2.9>")),
    Case("lwsdisp", plain("OPTIONS sip:bob@example.com SIP/2.0", from_="caller<sip:caller@caller.invalid>;tag=@I@"), "forward"),
    Case("longreq", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", length=len(SDP),
                          from_='"I have a user name of %s long" <sip:%s@caller.invalid;lr;unknownheaderparam%s=%s>;tag=@I@' % (LONG, LONG, LONG, LONG),
                          via="Via: @V@;branch=z9hG4bK@I@\n" + "".join("Via: SIP/2.0/TCP sip%d.example.com;branch=z9hG4bK%s%d\n" % (n, "xy" * 12, n) for n in range(33, 0, -1)),
                          extra="Unknown-%s-Header: unknown-%s-value\nContact: <sip:%s@host5.example.net>\nContent-Type: application/sdp" % (LONG, LONG, LONG)),
         "forward", tuple("sip%d.example.com" % n for n in range(33, 0, -1)) + ("unknown-%s-value" % LONG,), body=SDP),
    Case("dblreq", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<sip:carol@example.com>;tag=@I@", to="<sip:carol@example.com>",
                         extra="Contact: <sip:carol@192.0.2.8>"), 200, body=b"INVITE sip:nobody@example.com SIP/2.0\r\nfurther octets\r\n\r\n", stream="skip"),
    Case("semiuri", plain("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0"), "forward"),
    Case("transports", plain("OPTIONS sip:bob@example.com SIP/2.0", via="".join("Via: %s;branch=z9hG4bK@I@%d\n" % (v, n) for n, v in enumerate(
        ("@V@", "SIP/2.0/SCTP t2.example.com", "SIP/2.0/TLS t3.example.com", "SIP/2.0/UNKNOWN t4.example.com", "SIP/2.0/TCP t5.example.com")))), "forward",
         ("SCTP t2.example.com", "UNKNOWN t4.example.com", "TCP t5.example.com")),
    Case("mpart01", plain("MESSAGE sip:bob@example.com SIP/2.0", method="MESSAGE", length=len(PARTS), extra="Content-Type: multipart/mixed;boundary=7a9cbec02ceef655"),
         "forward", body=PARTS),
    Case("badinv01", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", via="Via: @V@;branch=z9hG4bK@I@;;,;,,\n", extra='Contact: "Joe" <sip:joe@example.org>;;;;'), 400),
    Case("clerr", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", length=9999, extra="Content-Type: application/sdp"), 400, body=SDP, stream="wait"),
    Case("ncl", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", length=-999, extra="Content-Type: application/sdp"), 400, body=SDP, stream="400 close"),
    Case("scalar02", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", cseq="36893488147419103232 REGISTER", from_="<sip:carol@example.com>;tag=@I@",
                           to="<sip:carol@example.com>", extra="Expires: 10000000000000000000000000000000\nContact: <sip:carol@192.0.2.1>;expires=280297596632815"), 400),
    Case("CSeq above 2^31", plain("OPTIONS sip:bob@example.com SIP/2.0", cseq="4294967295 OPTIONS"), 400),
    Case("quotbal", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", to='"Mr. J. User <sip:bob@example.com>'), 400),
    Case("ltgtruri", plain("INVITE <sip:bob@example.com> SIP/2.0", method="INVITE"), 400),
    Case("lwsruri", plain("INVITE sip:bob@example.com; lr SIP/2.0", method="INVITE"), 400),
    Case("lwsstart", plain("INVITE  sip:bob@example.com  SIP/2.0", method="INVITE"), 400),
    Case("trws", plain("OPTIONS sip:bob@example.com SIP/2.0  "), 400),
    Case("escruri", plain("INVITE sip:bob@example.com?Route=%3Csip:example.com%3E SIP/2.0", method="INVITE"), 400),
    Case("baddate", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", extra="Date: Fri, 01 Jan 2010 16:00:00 EST"), "forward"),
    Case("regbadct", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<sip:carol@example.com>;tag=@I@", to="<sip:carol@example.com>",
                           extra="Contact: sip:carol@192.0.2.1?Route=%3Csip:sip.example.com%3E"), 400),
    Case("badaspec", plain("OPTIONS sip:bob@example.com SIP/2.0", to='"Watson, Thomas" < sip:bob@example.com >'), 400),
    Case("baddn", plain("OPTIONS sip:bob@example.com SIP/2.0", from_="Bell, Alexander <sip:a.g.bell@caller.invalid>;tag=@I@"), 400),
    Case("badvers", plain("OPTIONS sip:bob@example.com SIP/7.0", via="Via: SIP/7.0/@T@ c.example.com;branch=z9hG4bK@I@\n".replace("SIP/7.0/@T@ c.example.com", "@V@")), 505),
    Case("mismatch01", plain("OPTIONS sip:bob@example.com SIP/2.0", cseq="8 INVITE"), 400),
    Case("mismatch02", plain("NEWMETHOD sip:bob@example.com SIP/2.0", cseq="8 INVITE"), 400),
    Case("badbranch", plain("OPTIONS sip:bob@example.com SIP/2.0", via="Via: @V@;branch=z9hG4bK\n"), "forward"),
    Case("insuf", "INVITE sip:bob@example.com SIP/2.0\nCSeq: 193942 INVITE\nVia: @V@;branch=z9hG4bK@I@\nContent-Length: 0\n", 400),
    Case("unkscm", plain("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416),
    Case("novelsc", plain("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), 416),
    Case("unksm2", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<http://www.example.com>;tag=@I@", to="isbn:2983792873",
                         extra="Contact: <name:John_Smith>"), 400),
    Case("bext01", plain("OPTIONS sip:bob@example.com SIP/2.0", extra="Require: nothingSupportsThis, nothingSupportsThisEither\n"
                         "Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis"), 420, ("noProxiesSupportThis", "norDoAnyProxiesSupportThis"), ("nothingSupportsThis",)),
    Case("invut", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", length=len(SDP), extra="Content-Type: application/unknownformat"), "forward", body=SDP),
    Case("multi01", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", extra="CSeq: 59 INVITE\nCall-ID: second@torture\nTo: <sip:other@example.net>\n"
                          "From: <sip:second@example.net>;tag=2\nMax-Forwards: 5\nContact: <sip:a@192.0.2.1>"), 400),
    Case("mcl01", plain("OPTIONS sip:bob@example.com SIP/2.0", extra="Content-Length: 13"), 400, body=b"There's no way to know how many octets", stream="400 close"),
    Case("zeromf", plain("OPTIONS sip:bob@example.com SIP/2.0").replace("Max-Forwards: 70", "Max-Forwards: 0"), 200),
    Case("zeromf INVITE", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE").replace("Max-Forwards: 70", "Max-Forwards: 0"), 483),
    Case("cparam01", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<sip:carol@example.com>;tag=@I@", to="<sip:carol@example.com>",
                           extra="Contact: sip:+19725552222@192.0.2.1;unknownparam"), 200, ("<sip:+19725552222@192.0.2.1>;unknownparam",)),
    Case("cparam02", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<sip:carol@example.com>;tag=@I@", to="<sip:carol@example.com>",
                           extra="Contact: <sip:+19725552223@192.0.2.1;unknownparam>"), 200, ("<sip:+19725552223@192.0.2.1;unknownparam>",)),
    Case("regescrt", plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<sip:carol@example.com>;tag=@I@", to="<sip:carol@example.com>",
                           extra="Contact: <sip:carol@192.0.2.7?Route=%3Csip:sip.example.com%3E>"), 200, ("<sip:carol@192.0.2.7?Route=%3Csip:sip.example.com%3E>",)),
    Case("sdp01", plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", length=len(SDP), extra="Accept: text/nobodyKnowsThis\nContent-Type: application/sdp"),
         "forward", ("Accept: text/nobodyKnowsThis",), body=SDP),
    Case("inv2543", "INVITE sip:bob@example.com SIP/2.0\nVia: @V@\nFrom: <sip:iuser@caller.invalid>\nTo: <sip:bob@example.com>\nCall-ID: @I@.old\nCSeq: 56 INVITE\n"
         "Contact: <sip:iuser@192.0.2.1>\nContent-Length: 0\n", "forward", ("Max-Forwards: 70",)),
]

SDP6 = SDP.replace(b"IP4 192.0.2.4", b"IP6 2001:db8::20").replace(b"IP4 192.0.2.3", b"IP6 2001:db8::20")
SIX = "Via: @V@;branch=z9hG4bK@I@\nVia: SIP/2.0/UDP %s;branch=z9hG4bK2\n"


def six(extra="", via="[2001:db8::9:1]", length=0, from_="<sip:user@[2001:db8::20]>;tag=@I@"):
    return plain("INVITE sip:bob@example.com SIP/2.0", method="INVITE", via=SIX % via, from_=from_, extra=extra, length=length)


def register6(contact):
    return plain("REGISTER sip:example.com SIP/2.0", method="REGISTER", from_="<sip:carol@example.com>;tag=@I@", to="<sip:carol@example.com>", extra="Contact: <%s>" % contact)


RFC5118 = [
    Case("ipv6-good", six("Contact: <sip:user@[2001:db8::20]>"), "forward", ("[2001:db8::9:1]", "<sip:user@[2001:db8::20]>")),
    Case("ipv6-bad", plain("REGISTER sip:2001:db8::10 SIP/2.0", method="REGISTER"), 400),
    Case("port-ambiguous", register6("sip:carol@[2001:db8::10:5070]"), 200, ("sip:carol@[2001:db8::10:5070]",)),
    Case("port-unambiguous", register6("sip:carol@[2001:db8::10]:5070"), 200, ("sip:carol@[2001:db8::10]:5070",)),
    Case("via-received-param-with-delim", six(via="[2001:db8::9:1];received=[2001:db8::9:255]"), "forward"),
    Case("via-received-param-no-delim", six(via="[2001:db8::9:1];received=2001:db8::9:255"), "forward"),
    Case("ipv6-in-sdp", six("Content-Type: application/sdp", length=len(SDP6)), "forward", body=SDP6),
    Case("mult-ip-in-header", plain("OPTIONS sip:bob@example.com SIP/2.0", via="Via: @V@;branch=z9hG4bK@I@\nVia: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK2\n"
                                    "Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK3;received=2001:db8::9:255\n"), "forward", ("192.0.2.1:5060", "[2001:db8::9:1]:6050")),
    Case("mult-ip-in-sdp", six("Content-Type: application/sdp", length=len(SDP6 + SDP)), "forward", body=SDP6 + SDP),
    Case("ipv4-mapped-ipv6", six("Contact: <sip:user@[::ffff:192.0.2.10]>", from_="<sip:user@[::ffff:192.0.2.10]>;tag=@I@"), "forward"),
    Case("ipv6-bug-abnf-3-colons", six("Contact: <sip:user@[2001:db8:::192.0.2.1]>", from_="<sip:user@[2001:db8:::192.0.2.1]>;tag=@I@"), "forward"),
    Case("ipv6-correct-abnf-2-colons", six("Contact: <sip:user@[2001:db8::192.0.2.1]>", from_="<sip:user@[2001:db8::192.0.2.1]>;tag=@I@"), "forward"),
]
