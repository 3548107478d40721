"""An HTTP/1.1 load client for large bodies. A client that copies every byte it gets is slower than the servers measured here, and
would measure itself; this one has the kernel discard what comes after the head (MSG_TRUNC), once the head has told how much it is.

    load.py --connections 16 --seconds 3 URL      hot: keep-alive, as many answers as fit
    load.py --connections 50 --once URL           cold: one answer per connection, all asked for at the same moment

Prints one JSON object. `sha256` is that of the first connection's body, which is read in full (--once only; hashed after the
clock has stopped).
"""

import argparse
import hashlib
import json
import selectors
import socket
import time
from urllib.parse import urlsplit

HEAD_BYTES = 2048
PIECE_BYTES = 1024 * 1024


class Answer:
    """One connection and the answer that is arriving on it."""

    def __init__(self, address, request, keep):
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.request = request
        self.body = bytearray() if keep else None
        self.done = self.bytes = 0
        self.first_byte = self.total = None
        self.status = None

    def ask(self):
        self.head, self.left = b"", None
        self.asked = time.perf_counter()
        self.socket.sendall(self.request)

    def read(self, piece):
        """Takes what has arrived; true when the answer is complete."""
        try:
            if self.left is None:
                count = self.socket.recv_into(piece, HEAD_BYTES)
            elif self.body is not None:
                count = self.socket.recv_into(piece)
            else:
                count = self.socket.recv_into(piece, min(self.left, PIECE_BYTES), socket.MSG_TRUNC)
        except BlockingIOError:
            return False
        if count == 0:
            raise ConnectionError(f"closed with {self.left} bytes to come")
        view = piece[:count]
        if self.left is None:
            self.head += bytes(view)
            head, mark, rest = self.head.partition(b"\r\n\r\n")
            if not mark:
                return False
            self._read_head(head)
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

    def _read_head(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if self.status != 200 or "content-length" not in fields:
            raise ConnectionError(f"{lines[0]} {fields.get('content-length')}")
        self.left = int(fields["content-length"])


def run(url, connections, seconds, headers):
    """Asks on every connection until `seconds` have passed (None: once), then lets nothing more begin."""
    parts = urlsplit(url)
    lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "User-Agent: larder-bench", *headers, "", ""]
    request = "\r\n".join(lines).encode()
    piece = memoryview(bytearray(PIECE_BYTES))
    answers = [Answer((parts.hostname, parts.port), request, seconds is None and i == 0) for i in range(connections)]
    errors = []
    selector = selectors.DefaultSelector()
    begin = time.perf_counter()
    for answer in answers:
        selector.register(answer.socket, selectors.EVENT_READ, answer)
        answer.ask()
    end = begin + (seconds if seconds is not None else 120)
    while selector.get_map() and time.perf_counter() < end:
        for key, _ in selector.select(0.5):
            answer = key.data
            try:
                if answer.read(piece):
                    if seconds is None:
                        selector.unregister(answer.socket)
                    else:
                        answer.ask()
            except OSError as error:
                errors.append(str(error))
                selector.unregister(answer.socket)
    elapsed = time.perf_counter() - begin
    if seconds is None and selector.get_map():
        errors.append(f"{len(selector.get_map())} not finished in 120 s")
    for answer in answers:
        answer.socket.close()
    result = {
        "seconds": elapsed,
        "bytes": sum(a.bytes for a in answers),
        "requests": sum(a.done for a in answers),
        "first_bytes": [a.first_byte for a in answers if a.first_byte is not None],
        "totals": [a.total for a in answers if a.total is not None],
        "errors": errors,
    }
    if seconds is None:
        result["sha256"] = hashlib.sha256(answers[0].body).hexdigest()
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--header", action="append", default=[])
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--seconds", type=float)
    how.add_argument("--once", action="store_true")
    args = parser.parse_args()
    print(json.dumps(run(args.url, args.connections, args.seconds, args.header)))


if __name__ == "__main__":
    main()
