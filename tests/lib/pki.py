"""Certificates for tests: one CA, and every kind of leaf a scenario may name.

All are made at test time with certtool (Debian: gnutls-bin) in a directory of
the run; nothing is kept. A Pki is made once per run and only read afterwards."""

import os
import shutil
import ssl
import subprocess
import threading

_CA = """cn = "tandem test CA"
ca
cert_signing_key
expiration_days = 30
"""

_LEAF = """cn = "{name}"
dns_name = "{name}"
tls_www_server
tls_www_client
signing_key
{dates}
"""


class Pki:
    def __init__(self, folder):
        if not shutil.which("certtool"):
            raise RuntimeError("certtool is missing (Debian package gnutls-bin)")
        self.folder = folder
        self._lock = threading.Lock()
        self._made = {}
        os.makedirs(folder, exist_ok=True)
        self.ca, self._ca_key = self._authority("ca")
        # An authority nobody trusts, for "chains to no trusted root".
        self._strange_ca, self._strange_key = self._authority("strange-ca")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _run(self, *args):
        r = subprocess.run(("certtool",) + args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        if r.returncode:
            raise RuntimeError("certtool %s: %s" % (" ".join(args), r.stdout.decode(errors="replace")))

    def _key(self, stem):
        key = self._path(stem + ".key")
        self._run("--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", key)
        return key

    def _template(self, stem, text):
        path = self._path(stem + ".tmpl")
        with open(path, "w") as f:
            f.write(text)
        return path

    def _authority(self, stem):
        key = self._key(stem)
        cert = self._path(stem + ".pem")
        self._run("--generate-self-signed", "--load-privkey", key, "--template", self._template(stem, _CA),
                  "--outfile", cert)
        return cert, key

    def leaf(self, name, kind="good", serial=0):
        """(certificate, key) for NAME. kind: good, expired, selfsigned, strange (unknown CA).
        Another serial gives another certificate for the same name."""
        with self._lock:
            made = self._made.get((name, kind, serial))
            if made:
                return made
            stem = "%s-%s-%d" % (name, kind, serial)
            key = self._key(stem)
            cert = self._path(stem + ".pem")
            dates = "expiration_days = 30"
            if kind == "expired":
                dates = 'activation_date = "2020-01-01 00:00:00"\nexpiration_date = "2020-02-01 00:00:00"'
            template = self._template(stem, _LEAF.format(name=name, dates=dates))
            if kind == "selfsigned":
                self._run("--generate-self-signed", "--load-privkey", key, "--template", template, "--outfile", cert)
            else:
                ca, ca_key = (self._strange_ca, self._strange_key) if kind == "strange" else (self.ca, self._ca_key)
                self._run("--generate-certificate", "--load-privkey", key, "--template", template,
                          "--load-ca-certificate", ca, "--load-ca-privkey", ca_key, "--outfile", cert)
            self._made[(name, kind, serial)] = (cert, key)
            return cert, key

    def client_context(self, cert=None):
        """For connections we open: verifies the server against the CA; cert is (certificate, key) or None."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.load_verify_locations(self.ca)
        if cert:
            ctx.load_cert_chain(*cert)
        return ctx

    def server_context(self, cert, ask_client=True):
        """For endpoints tandem dials: asks for a client certificate, accepts none."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(*cert)
        ctx.load_verify_locations(self.ca)
        if ask_client:
            ctx.verify_mode = ssl.CERT_OPTIONAL
        return ctx
