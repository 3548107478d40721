"""Pages and files that are stored, over HTTP and over TLS: everything is up, one server is asked at a time."""

import gzip
import time
from contextlib import ExitStack
from dataclasses import dataclass

import load
import machine
from bench import ALL, BEFORE, CADDY, HYPER, LARDER, READY, UNSENT, new_site, say
from report import Goal, divided, figure, table, times, verdict

ENCRYPTED = [HYPER, READY, CADDY, LARDER, BEFORE]


@dataclass
class Point:
    name: str
    group: str
    what: str
    connections: int
    compressed: bool = False
    goal: Goal = None
    cpu_goal: Goal = None

    @property
    def is_file(self):
        return self.what in ("one", "hundred")

    @property
    def unit(self):
        return "GB/s" if self.is_file else "req/s"


LEAST, CPU = Goal(at_least=1.0), Goal(at_most=1.1, of="CPU ")
SHAPES = [
    ("page, 11 links (3 kB), 16 connections", "pages", "small", 16, False, Goal(at_most=1.0, of="CPU ")),
    ("page, 5,000 links, 16 connections", "pages", "large", 16, False, None),
    ("page, 5,000 links, gzip, 16 connections", "pages", "large", 16, True, None),
    ("file, 1 MB, 1 connection", "files", "one", 1, False, CPU),
    ("file, 1 MB, 16 connections", "files", "one", 16, False, CPU),
    ("file, 100 MB, 1 connection", "files", "hundred", 1, False, CPU),
    ("file, 100 MB, 16 connections", "files", "hundred", 16, False, CPU),
]
PLAIN = [Point(*shape[:5], LEAST, shape[5]) for shape in SHAPES]
# Within a tenth of the best of the servers that encrypt.
TLS = [Point(f"TLS: {shape[0]}", "tls", *shape[2:5], Goal(at_least=0.9)) for shape in SHAPES]
HANDSHAKES = [("TLS: new connection and a page, full handshake", False), ("TLS: new connection and a page, resumed", True)]


def run(bench, groups):
    port = machine.free_port()
    say("hot: writing the upstream's pages and files")
    site = new_site(bench.new_folder("site"), port)
    site.add_noise("one", 1_000_000)
    site.add_noise("hundred", 100_000_000)
    site.add_links("small", 11)
    site.add_links("large", 5000)
    with ExitStack() as stack:
        upstream = stack.enter_context(bench.upstream(site, port))
        servers = {name: stack.enter_context(bench.server(name, upstream, site, tls=True)) for name in bench.names()}
        time.sleep(1)
        hot = Hot(bench, site, servers)
        hot.check()
        hot.rounds([point for point in PLAIN + TLS if point.group in groups], HANDSHAKES if "tls" in groups else [])


def takes_part(server, point):
    if point.group == "tls":
        return server in ENCRYPTED
    return server != UNSENT or point.is_file


class Hot:
    def __init__(self, bench, site, servers):
        self.bench, self.site, self.servers = bench, site, servers
        self.without_length = set()  # (server, page, compressed): answers that come in chunks

    def check(self):
        """No server is measured that answers something else; this also warms the caches."""
        for server in self.servers.values():
            urls = [server.url, server.tls_url] if server.name in ENCRYPTED else [server.url]
            for url in urls:
                for name in self.site.pages:
                    for compressed in (False, True):
                        self._check_page(server.name, url, name, compressed)
                for name in ("one", "hundred"):
                    path, digest, _ = self.site.files[name]
                    if load.run(url + path).sha256 != digest:
                        raise RuntimeError(f"{server.name}: file {name} is not the file expected")

    def _check_page(self, name, url, page_name, compressed):
        path, page = self.site.pages[page_name]
        fields, body = load.fetch(url + path, "gzip" if compressed else "identity")
        coding = fields.get("content-encoding", "identity")
        if "content-length" not in fields:
            self.without_length.add((name, page_name, compressed))
        if coding != ("gzip" if compressed else "identity"):
            self.bench.warn(f"{name}: page {page_name} came as {coding}, {'gzip' if compressed else 'identity'} was asked for")
        body = gzip.decompress(body) if coding == "gzip" else body
        if body != page:
            raise RuntimeError(f"{name}: page {page_name} is not the page expected, byte for byte")

    def rounds(self, points, handshakes):
        """All points in each round, so that the rounds of a point lie apart."""
        for turn, in_order in self.bench.alternating(list(self.servers)):
            for point in points:
                say(f"round {turn + 1}: {point.name}")
                for name in in_order:
                    if takes_part(name, point):
                        self.bench.take(point.name, name, lambda: self.measure(self.servers[name], point))
            for point, resume in handshakes:
                say(f"round {turn + 1}: {point}")
                for name in in_order:
                    if name in ENCRYPTED:
                        self.bench.take(point, name, lambda: self.handshake(self.servers[name], resume))

    def measure(self, server, point):
        base = server.tls_url if point.group == "tls" else server.url
        url = base + (self.site.files if point.is_file else self.site.pages)[point.what][0]
        headers = ["Accept-Encoding: gzip"] if point.compressed else []
        cpu = server.cpu_seconds()
        count, size, seconds = self._load(server.name, point, url, headers)
        cpu = server.cpu_seconds() - cpu
        amount = size / 1e9 if point.is_file else count
        return {"rate": amount / seconds, "cpu": cpu / amount * (1 if point.is_file else 1e6), "busy": cpu / seconds}

    def _load(self, name, point, url, headers):
        """wrk is quick with many small answers, load.py with large ones of known length."""
        seconds = self.bench.args.seconds
        if point.what == "small" or (name, point.what, point.compressed) in self.without_length:
            result = self.bench.wrk.run(url, point.connections, seconds, headers)
            if result["failed"] or not result["requests"]:
                raise RuntimeError(f"wrk: {result}")
            return result["requests"], result["bytes"], result["seconds"]
        result = load.run(url, point.connections, seconds, headers)
        if result.errors or not (result.bytes if point.is_file else result.requests):
            raise RuntimeError(f"no answer was complete; {result.errors[:3]}")
        return result.requests, result.bytes, result.seconds

    def handshake(self, server, resume):
        url = server.tls_url + self.site.pages["small"][0]
        cpu = server.cpu_seconds()
        count, resumed, seconds = load.handshakes(url, self.bench.args.seconds, resume)
        cpu = server.cpu_seconds() - cpu
        return {"rate": count / seconds, "cpu": cpu / count * 1e6, "busy": cpu / seconds, "resumed": resumed / count}


# -- tables


def tables(bench, groups):
    given = []
    plain = [point for point in PLAIN if point.group in groups]
    if plain:
        given.append(_table(bench, "hot", plain, bench.names(ALL), best=[READY]))
    if "tls" in groups:
        names = bench.names(ENCRYPTED)
        given.append(_table(bench, "hot, TLS", TLS, names, best=[HYPER, READY, CADDY]))
        given.append(_handshake_table(bench, names))
    return given


def _table(bench, title, points, names, best):
    against = "nginx" if best == [READY] else "best"
    rows = []
    for point in points:
        cells = [_cell(bench, point.name, name, point.unit) for name in names]
        base = max(best, key=lambda name: bench.median(point.name, name, "rate") or 0)
        rate, cpu = (divided(bench.median(point.name, LARDER, measure), bench.median(point.name, base, measure))
                     for measure in ("rate", "cpu"))
        cells += [times(rate), times(cpu), *verdict((point.goal, rate), (point.cpu_goal, cpu))]
        rows.append((f"{point.name}, {point.unit}", cells))
    return table(title, [*names, f"larder ÷ {against}", "CPU ÷", "to reach", "reached"], rows)


def _cell(bench, point, name, unit):
    rate, cpu, busy = (bench.median(point, name, measure) for measure in ("rate", "cpu", "busy"))
    if rate is None:
        return "–"
    idle = "" if busy > 0.85 else f"; {busy:.0%} busy"
    return f"{figure(rate)} ({figure(cpu)} {'s/GB' if unit == 'GB/s' else 'µs'}{idle})"


def _handshake_table(bench, names):
    rows = []
    for point, resume in HANDSHAKES:
        cells = [_cell(bench, point, name, "req/s") for name in names]
        if resume:
            shares = [bench.median(point, name, "resumed") for name in names]
            cells = [cell if share is None else f"{cell}, {share:.0%} resumed" for cell, share in zip(cells, shares)]
        best = min(filter(None, (bench.median(point, name, "cpu") for name in (HYPER, READY, CADDY))), default=None)
        cpu = divided(bench.median(point, LARDER, "cpu"), best)
        rows.append((f"{point}, a second", [*cells, times(cpu), *verdict((Goal(at_most=1.1, of="CPU "), cpu))]))
    return table("handshakes", [*names, "CPU ÷ best", "to reach", "reached"], rows)
