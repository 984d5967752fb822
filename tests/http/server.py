#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that misbehaves as it is told, on the loopback only, for the tests of the HTTP carrier.

Usage: server.py DIR
It makes two CA-signed and self-signed certificates in DIR, prints one line "HTTP TLS SELFSIGNED" with
its three port numbers, and ends when its standard input does. What is wrong with an answer is in the query:
  /file?id=ID&...      ID names the counter of requests and the log that /log?id=ID returns
  size=N seed=S        the body: N bytes of SHAKE-128(S); seed2=S from the second request on
  flip=N               byte N differs from the second request on
  size2=N              another size from the second request on
  etag=E etag2=E       E in quotes, or weak:E; etag2 from the second request on
  lm=old|new           Last-Modified a day or no time before Date
  ranges=1             ranges are answered, if If-Range matches; ranges=always even if it does not
  part=N               a range is answered with at most N bytes
  lie=start|shift|total|length|none|etag|star|beyond   what is wrong with a 206
  drop=N drops=K       the connection ends after N bytes of a body, in the first K requests (else always)
  stall=N stalls=K     the same, but it stays silent and open instead
  trickle=MS           a byte each MS milliseconds, after the first N of stall=N
  length=N             Content-Length is wrong by N
  chunked=1 endless=1  no Content-Length; endless never ends
  status=C statuses=K  the answer is C in the first K requests; retry=S puts Retry-After there
  status2=C statuses=K the same from the second request to the Kth
  encoding=E           Content-Encoding
  headers=N            N KiB of headers more; lengths=1 two Content-Lengths; te=E Transfer-Encoding
  garbage=1            no HTTP at all
  user=U:P             Basic authorization is asked for
  bare=1               no length: the end of the connection is the end of the body
/redirect?to=URL, /chain?n=N&to=URL, /loop; /files/NAME: the files in DIR/files, 503 below busy/
"""
import base64
import email.utils
import hashlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

counts, logs, lock = {}, {}, threading.Lock()


def content(seed, size):
    return hashlib.shake_128(seed.encode()).digest(size)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args):
        pass

    def num(self, name, default=None):
        return int(self.q[name]) if name in self.q else default

    def first(self, name, limit):
        """The misbehaviour `name` is asked for, and this is one of the first `limit` requests."""
        return name in self.q and self.count <= self.num(limit, 1 << 30)

    def plain(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.q = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            self.route(url.path)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError, TimeoutError):
            self.close_connection = True

    def route(self, path):
        if path == "/log":
            self.plain(200, "\n".join(logs.get(self.q.get("id"), [])).encode())
        elif path == "/redirect":
            self.plain(302, b"moved", [("Location", self.q["to"])])
        elif path == "/loop":
            self.plain(301, b"moved", [("Location", "loop")])
        elif path == "/chain":
            n = int(self.q["n"])
            to = self.q["to"]
            more = "/chain?" + urllib.parse.urlencode({"n": n - 1, "to": to})
            self.plain(307, b"moved", [("Location", more if n > 1 else to)])
        elif path.startswith("/files/"):
            self.static(path)
        elif path.startswith("/file"):
            self.file()
        else:
            self.plain(404, b"<html>not here</html>")

    def static(self, path):
        name = os.path.join(sys.argv[1], urllib.parse.unquote(path[1:]))
        with lock:
            logs.setdefault("files", []).append(path)
        if "/busy/" in path:
            self.plain(503)
        elif os.path.isfile(name):
            with open(name, "rb") as f:
                self.plain(200, f.read())
        else:
            self.plain(404, b"<html>not here</html>")

    def file(self):
        ident = self.q.get("id", self.path)
        with lock:
            self.count = counts[ident] = counts.get(ident, 0) + 1
            logs.setdefault(ident, []).append("%s|%s|%s" % (
                self.headers.get("Range", "-"), self.headers.get("If-Range", "-"),
                self.headers.get("Accept-Encoding", "-")))
        if "garbage" in self.q:
            self.wfile.write(b"\x1b[31mwho are you\r\n\r\n" * 100)
            self.close_connection = True
        elif "user" in self.q and self.headers.get("Authorization") != \
                "Basic " + base64.b64encode(self.q["user"].encode()).decode():
            self.plain(401, b"no", [("WWW-Authenticate", 'Basic realm="x"')])
        elif self.first("status", "statuses"):
            retry = [("Retry-After", self.q["retry"])] if "retry" in self.q else []
            self.plain(self.num("status"), b"<html>no</html>", retry)
        elif "status2" in self.q and 1 < self.count <= self.num("statuses", 2):
            self.plain(self.num("status2"), b"<html>no</html>")
        else:
            self.send_body()

    def etag(self):
        tag = self.q.get("etag2") if self.count > 1 and "etag2" in self.q else self.q.get("etag")
        if tag and tag.startswith("weak:"):
            return 'W/"%s"' % tag[5:]
        return '"%s"' % tag if tag else None

    def dates(self):
        now = 1700000000
        return {"old": now - 86400, "new": now}.get(self.q.get("lm")), now

    def wanted(self, size):
        """First and last byte of the range to answer, or None for the whole."""
        asked = self.headers.get("Range", "")
        if "ranges" not in self.q or not asked.startswith("bytes="):
            return None
        modified = self.dates()[0]
        valid = [self.etag(), modified and email.utils.formatdate(modified, usegmt=True)]
        if self.q["ranges"] != "always" and self.headers.get("If-Range") not in valid:
            return None
        first = int(asked[6:].split("-")[0])
        return first, min(size, first + self.num("part", size)) - 1

    def send_range_headers(self, rng, size):
        first, last = rng
        lie = self.q.get("lie")
        total = size + (7 if lie == "total" else 0)
        shown = first + (1 if lie == "start" else 0)
        end = last + (9 if lie == "beyond" else 0)
        if lie == "star":
            total = "*"
        if lie != "none":
            self.send_header("Content-Range", "bytes %d-%d/%s" % (shown, end, total))
        length = last - shown + 1 - (5 if lie == "length" else 0)
        self.send_header("Content-Length", str(length))
        return shown + (1 if lie == "shift" else 0)

    def send_body(self):
        size = self.num("size", 100000)
        seed = self.q.get("seed2") if self.count > 1 and "seed2" in self.q else self.q.get("seed", "a")
        size = self.num("size2", size) if self.count > 1 else size
        data = content(seed, size)
        if "flip" in self.q and self.count > 1:
            at = self.num("flip")
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        rng = self.wanted(size)
        chunked = "chunked" in self.q or "endless" in self.q
        self.send_response(206 if rng else 200)
        etag = '"lie"' if rng and self.q.get("lie") == "etag" else self.etag()
        if etag:
            self.send_header("ETag", etag)
        modified, _ = self.dates()
        if modified:
            self.send_header("Last-Modified", email.utils.formatdate(modified, usegmt=True))
        if "encoding" in self.q:
            self.send_header("Content-Encoding", self.q["encoding"])
        for i in range(self.num("headers", 0)):
            self.send_header("X-Filler-%d" % i, "x" * 1000)
        if rng:
            first = self.send_range_headers(rng, size)
            data = (data + b"x")[first:rng[1] + 1 + (self.q.get("lie") == "shift")]
        elif "te" in self.q:
            self.send_header("Transfer-Encoding", self.q["te"])
        elif chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif "bare" not in self.q:
            self.send_header("Content-Length", str(len(data) + self.num("length", 0)))
            if "lengths" in self.q:
                self.send_header("Content-Length", str(len(data) + 1))
        self.close_connection = True
        self.send_header("Connection", "close")
        self.end_headers()
        self.send_data(data, chunked and not rng)

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(self.dates()[1], usegmt=True)

    def put(self, data, chunked):
        for i in range(0, len(data), 65536):
            piece = data[i:i + 65536]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)

    def send_data(self, data, chunked):
        if self.first("drop", "drops"):
            self.put(data[:self.num("drop")], chunked)
            self.wfile.flush()
            return
        if self.first("stall", "stalls"):
            self.put(data[:self.num("stall")], chunked)
            self.hold(data[self.num("stall"):])
            return
        self.put(data, chunked)
        while "endless" in self.q:
            self.put(data, chunked)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def hold(self, rest):
        """Silent, or a byte now and then, until the client goes away."""
        pause = self.num("trickle", 0) / 1000
        end = time.monotonic() + 15
        self.connection.settimeout(pause or 0.2)
        for i in range(1 << 20):
            if time.monotonic() > end:
                return
            if pause:
                self.wfile.write(rest[i:i + 1])
            try:
                if not self.connection.recv(1):
                    return
            except (TimeoutError, ssl.SSLWantReadError):
                pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that refuses our certificate is part of the tests


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, cwd=sys.argv[1])


def make_certificates():
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    openssl("req", "-x509", *new, "-keyout", "self.key", "-out", "self.pem", "-subj", "/CN=self", *name)
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA")
    openssl("req", *new, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=server", *name)
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-copy_extensions", "copy", "-out", "tls.pem")


def start(key=None):
    server = Server(("127.0.0.1", 0), Handler)
    if key:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(sys.argv[1], key + ".pem"),
                                os.path.join(sys.argv[1], key + ".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server.server_address[1]


def main():
    make_certificates()
    print(start(), start("tls"), start("self"), flush=True)
    sys.stdin.read()


main()
