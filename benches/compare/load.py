"""An HTTP/1.1 client for large bodies, many connections and TLS.

A client that copies every byte it gets is slower than the servers measured here, and would measure itself. Without TLS
this one has the kernel discard what comes after the head (MSG_TRUNC), once the head has told how much it is. With TLS
every byte has to be decrypted.
"""

import hashlib
import selectors
import socket
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HEAD_BYTES = 2048
PIECE_BYTES = 1024 * 1024
# A TLS record is 16 KiB at most: so many are read before the other connections have their turn.
RECORDS_AT_ONCE = 64
PATIENCE = 120


@dataclass
class Result:
    seconds: float = 0
    bytes: int = 0
    requests: int = 0
    first_bytes: list = field(default_factory=list)
    totals: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    sha256: str = None


def tls_context():
    """Trusts any certificate: the servers here have one that was made a moment ago."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(url, context=None, session=None, timeout=20):
    """A connection that blocks; encrypted, if the URL says so."""
    parts = urlsplit(url)
    plain = socket.create_connection((parts.hostname, parts.port), timeout)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "http":
        return plain
    return (context or tls_context()).wrap_socket(plain, session=session)


def request_for(url, headers=()):
    parts = urlsplit(url)
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "User-Agent: larder-bench", *headers, "", ""]
    return "\r\n".join(lines).encode()


class Answer:
    """One connection and the answer that is arriving on it."""

    def __init__(self, url, context, request, keep):
        self.socket = connect(url, context)
        self.is_tls = isinstance(self.socket, ssl.SSLSocket)
        self.socket.setblocking(False)
        self.request = request
        self.body = bytearray() if keep else None
        self.done = self.bytes = 0
        self.first_byte = self.total = None

    def ask(self):
        self.head, self.left = b"", None
        self.asked = time.perf_counter()
        self.socket.sendall(self.request)

    def read(self, piece):
        """Takes what has arrived; true when the answer is complete."""
        for _ in range(RECORDS_AT_ONCE if self.is_tls else 1):
            try:
                count = self._receive(piece)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if count == 0:
                raise ConnectionError(f"closed with {self.left} bytes to come")
            if self._take(piece[:count]):
                return True
        return False

    def _receive(self, piece):
        if self.is_tls:
            return self.socket.recv_into(piece)
        if self.left is None:
            return self.socket.recv_into(piece, HEAD_BYTES)
        if self.body is not None:
            return self.socket.recv_into(piece)
        return self.socket.recv_into(piece, min(self.left, PIECE_BYTES), socket.MSG_TRUNC)

    def _take(self, view):
        if self.left is None:
            self.head += bytes(view)
            head, mark, rest = self.head.partition(b"\r\n\r\n")
            if not mark:
                return False
            self.left = body_length(head)
            view = memoryview(rest)
        if len(view) and self.first_byte is None:
            self.first_byte = time.perf_counter() - self.asked
        if self.body is not None:
            self.body += view
        self.left -= len(view)
        self.bytes += len(view)
        if self.left < 0:
            raise ConnectionError("more bytes than Content-Length")
        if self.left == 0:
            self.done += 1
            self.total = time.perf_counter() - self.asked
        return self.left == 0


def body_length(head):
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if lines[0].split()[1] != "200" or "content-length" not in fields:
        raise ConnectionError(f"{lines[0]}, Content-Length {fields.get('content-length')}")
    return int(fields["content-length"])


def run(url, connections=1, seconds=None, headers=()):
    """Asks on every connection until `seconds` have passed, then lets nothing more begin; without `seconds`, asks once on
    each at the same moment. Then the first connection's body is read in full and hashed once the clock has stopped."""
    return run_each([url] * connections, seconds, headers)


def run_each(urls, seconds=None, headers=()):
    """The same with an address for each connection."""
    once = seconds is None
    context = tls_context()
    answers = [Answer(url, context, request_for(url, headers), once and number == 0) for number, url in enumerate(urls)]
    result = Result()
    begin = time.perf_counter()
    try:
        _drive(answers, begin + (PATIENCE if once else seconds), once, result.errors)
    finally:
        for answer in answers:
            answer.socket.close()
    result.seconds = time.perf_counter() - begin
    result.bytes = sum(answer.bytes for answer in answers)
    result.requests = sum(answer.done for answer in answers)
    result.first_bytes = [answer.first_byte for answer in answers if answer.first_byte is not None]
    result.totals = [answer.total for answer in answers if answer.total is not None]
    if once:
        result.sha256 = hashlib.sha256(answers[0].body).hexdigest()
    return result


def _drive(answers, end, once, errors):
    piece = memoryview(bytearray(PIECE_BYTES))
    with selectors.DefaultSelector() as selector:
        for answer in answers:
            selector.register(answer.socket, selectors.EVENT_READ, answer)
            answer.ask()
        while selector.get_map() and time.perf_counter() < end:
            for key, _ in selector.select(0.5):
                try:
                    if not key.data.read(piece):
                        continue
                    if once:
                        selector.unregister(key.fileobj)
                    else:
                        key.data.ask()
                except OSError as error:
                    errors.append(str(error))
                    selector.unregister(key.fileobj)
        if once and selector.get_map():
            errors.append(f"{len(selector.get_map())} not finished in {PATIENCE} s")


def one_answer(connection, request):
    """One answer on a connection that blocks: its body, as it was sent."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := connection.recv(65536)):
            raise ConnectionError("closed before the head was complete")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        is_whole = lambda: body.endswith(b"\r\n0\r\n\r\n")  # noqa: E731
    else:
        length = body_length(head)
        is_whole = lambda: len(body) >= length  # noqa: E731
    while not is_whole():
        if not (piece := connection.recv(1 << 20)):
            raise ConnectionError("closed in the middle of the body")
        body += piece
    return body


def fetch(url, coding="identity", headers=(), timeout=20):
    """Head fields and body of an answer, also of one without a length."""
    with connect(url, timeout=timeout) as connection:
        connection.sendall(request_for(url, ["Connection: close", f"Accept-Encoding: {coding}", *headers]))
        received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if status.split()[1:2] != ["200"]:
        raise RuntimeError(f"{url}: {status}")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("transfer-encoding") == "chunked":
        body = dechunked(body)
    return fields, body


def dechunked(rest):
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not (length := int(size, 16)):
            return body
        body, rest = body + rest[:length], rest[length + 2:]


def idle_connections(url, count):
    """So many connections that have had an answer each and now say nothing."""
    context, request, kept = tls_context(), request_for(url), []
    for _ in range(count):
        connection = connect(url, context)
        one_answer(connection, request)
        kept.append(connection)
    return kept


def handshakes(url, seconds, resume):
    """New connections one after the other, each for one answer: how many, how many of them resumed, and how long."""
    context, request, session = tls_context(), request_for(url), None
    count = resumed = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        with connect(url, context, session) as connection:
            one_answer(connection, request)
            resumed += bool(connection.session_reused)
            session = connection.session if resume else None
        count += 1
    return count, resumed, time.perf_counter() - begin
