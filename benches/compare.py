#!/usr/bin/env python3
"""Sets larder beside nginx in one run, on one machine, and prints a markdown table. See README.md here for what it means.

    python3 benches/compare.py                     builds larder as it is published and runs everything, some six minutes
    python3 benches/compare.py --only herd         one group of points: pages, files, cold, herd (more than one may be given)
    python3 benches/compare.py --without-larder    only nginx, to see how steady this machine is
"""

import argparse
import gzip
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True  # leaves nothing in the source tree
import rigs  # noqa: E402

HERE = Path(__file__).resolve().parent
WRK_SCRIPT = """done = function(s, l, r)
  local e = s.errors
  io.write(string.format('\\nRESULT {"requests": %d, "bytes": %d, "seconds": %f, "failed": %d}\\n', s.requests, s.bytes,
    s.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end"""

# name, group, page or file, connections, gzip, how it is counted
HOT = [
    ("page, 11 links (3 kB), 16 connections", "pages", "small", 16, False, "req/s"),
    ("page, 5,000 links, 16 connections", "pages", "large", 16, False, "req/s"),
    ("page, 5,000 links, gzip, 16 connections", "pages", "large", 16, True, "req/s"),
    ("file, 1 MB, 1 connection", "files", "one", 1, False, "GB/s"),
    ("file, 1 MB, 16 connections", "files", "one", 16, False, "GB/s"),
    ("file, {mb} MB, 1 connection", "files", "hundred", 1, False, "GB/s"),
    ("file, {mb} MB, 16 connections", "files", "hundred", 16, False, "GB/s"),
]


def main():
    args = arguments()
    # A temporary folder and child processes: leave by exception on SIGTERM too, so that both are cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for tool in ("nginx", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: on Debian, `apt-get install nginx-light wrk util-linux`")
    binary = None if args.without_larder else (args.larder or build())
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as folder:
        bench = Bench(Path(folder), binary, args)
        bench.run()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--larder", type=lambda p: Path(p).resolve(), help="a built larder; default: cargo build --profile dist")
    parser.add_argument("--without-larder", action="store_true")
    parser.add_argument("--only", action="append", choices=["pages", "files", "cold", "herd"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of one hot measurement")
    parser.add_argument("--file-mb", type=int, default=100, help="size of the large file")
    parser.add_argument("--clients", type=int, default=50, help="size of the herd")
    parser.add_argument("--json", type=Path, help="also write every single measurement here")
    return parser.parse_args()


def build():
    command = ["cargo", "build", "--profile", "dist", "--locked", "--bin", "larder", "--message-format=json-render-diagnostics"]
    lines = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    return Path(next(m["executable"] for m in map(json.loads, lines) if m.get("executable")))


class Bench:
    def __init__(self, folder, binary, args):
        self.folder, self.binary, self.args = folder, binary, args
        self.groups = args.only or ["pages", "files", "cold", "herd"]
        port = rigs.free_port()
        say("writing the upstream's pages and files")
        self.site = rigs.Site(folder / "site", f"http://127.0.0.1:{port}", args.file_mb)
        self.upstream = rigs.upstream(folder / "upstream", self.site.upstream, port)
        self.proxies = ["nginx proxy_cache"] + ([] if binary is None else ["larder"])
        self.script = folder / "result.lua"
        self.script.write_text(WRK_SCRIPT)
        self.started = 0
        self.results = {}  # (point, server, measure) -> values, one a round
        self.chunked = set()  # (server, page, with gzip): answers that come without a length
        self.warnings = []

    def run(self):
        with self.upstream:
            if {"pages", "files"} & set(self.groups):
                self.hot()
            if "cold" in self.groups:
                self.cold()
            if "herd" in self.groups:
                self.herd()
        self.report()

    def server(self, name):
        """A fresh server of that name, with an empty cache."""
        self.started += 1
        folder = self.folder / f"server-{self.started}"
        if name == "larder":
            return rigs.Larder(folder, self.binary, self.site.upstream_url)
        return (rigs.nginx_static if name == "nginx static" else rigs.nginx_proxy)(folder, self.site)

    def note(self, point, server, measure, value):
        self.results.setdefault((point, server, measure), []).append(value)

    # -- hot: everything is stored, all servers are up, one is asked at a time, round by round

    def hot(self):
        with self.server("nginx static") as static, self.server("nginx proxy_cache") as proxy:
            if self.binary is None:
                self.hot_rounds([static, proxy])
            else:
                with self.server("larder") as larder:
                    self.hot_rounds([static, proxy, larder])

    def hot_rounds(self, servers):
        time.sleep(1)
        for server in servers:
            self.note("memory, idle", server.name, "MB", server.memory_mb("VmRSS"))
        for server in servers:
            self.check_answers(server)
        for turn in range(self.args.rounds):
            for name, group, what, connections, compressed, unit in HOT:
                if group not in self.groups:
                    continue
                name = name.format(mb=self.args.file_mb)
                for server in servers if turn % 2 == 0 else reversed(servers):
                    say(f"round {turn + 1}: {name}: {server.name}")
                    path = (self.site.pages.get(what) or self.site.files.get(what))[0]
                    cpu = server.cpu_seconds()
                    # wrk is quick with many small answers, load.py with large ones of known length.
                    use_wrk = what == "small" or (server.name, what, compressed) in self.chunked
                    load = self.wrk if use_wrk else self.client
                    result = load(server.url + path, connections, compressed)
                    cpu = server.cpu_seconds() - cpu
                    if result["failed"] or not result["requests"]:
                        self.warnings.append(f"{name}: {server.name}: {result}")
                        continue
                    amount, per = (result["bytes"] / 1e9, 1) if unit == "GB/s" else (result["requests"], 1e6)
                    self.note(name, server.name, unit, amount / result["seconds"])
                    self.note(name, server.name, "cpu", cpu / amount * per)
                    self.note(name, server.name, "busy", cpu / result["seconds"])
        for server in servers:
            self.note("memory, highest, after the hot points", server.name, "MB", server.memory_mb("VmHWM"))

    def wrk(self, url, connections, compressed):
        headers = ["-H", "Accept-Encoding: gzip"] if compressed else []
        out = on_load_core(
            "wrk", "-t1", f"-c{connections}", f"-d{self.args.seconds}s", "-s", self.script, *headers, url, timeout=60
        )
        return json.loads(out.split("RESULT ")[1])

    def client(self, url, connections, compressed):
        headers = ["--header", "Accept-Encoding: gzip"] if compressed else []
        result = self.load(url, connections, "--seconds", str(self.args.seconds), *headers)
        return {**result, "failed": len(result["errors"])}

    def load(self, url, connections, *how):
        out = on_load_core(
            sys.executable, HERE / "load.py", "--connections", str(connections), *how, url, timeout=200
        )
        return json.loads(out)

    def check_answers(self, server):
        """Nobody is measured who answers something else; this also warms the caches."""
        for name, (path, page) in self.site.pages.items():
            for encoding in ("identity", "gzip"):
                request = urllib.request.Request(server.url + path, headers={"Accept-Encoding": encoding})
                with urllib.request.urlopen(request, timeout=30) as answer:
                    body = answer.read()
                    sent_as = answer.headers.get("Content-Encoding", "identity")
                    if "Content-Length" not in answer.headers:
                        self.chunked.add((server.name, name, encoding == "gzip"))
                if sent_as != encoding:
                    self.warnings.append(f"{server.name}: page {name} came as {sent_as}, {encoding} was asked for")
                body = gzip.decompress(body) if sent_as == "gzip" else body
                if body != page:
                    self.warnings.append(f"{server.name}: page {name} ({encoding}) is not the page expected, byte for byte")
                if self.site.upstream_url.encode() in body or body.count(b"<a ") != page.count(b"<a "):
                    sys.exit(f"{server.name}: page {name} has lost links or still points to the upstream")
        for name in ("one", "hundred"):
            path, digest, _ = self.site.files[name]
            if self.load(server.url + path, 1, "--once").get("sha256") != digest:
                sys.exit(f"{server.name}: file {name} is not the file expected")

    # -- cold: a fresh server each time, its connection to the upstream warmed by one page

    def cold(self):
        for turn in range(self.args.rounds):
            for what, kind in (("hundred", "upstream unthrottled"), ("slow-hundred", "upstream at 100 MiB/s")):
                point = f"cold file, {self.args.file_mb} MB, {kind}"
                say(f"round {turn + 1}: {point}")
                self.cold_once(point, "direct", self.upstream, what, 1)
                for name in self.proxies:
                    with self.server(name) as server:
                        self.cold_once(point, name, server, what, 1)

    # -- herd: many clients ask for one cold file at the same moment

    def herd(self):
        point = f"herd of {self.args.clients}, one cold file, {self.args.file_mb} MB, upstream at 100 MiB/s a connection"
        for turn in range(self.args.rounds):
            say(f"round {turn + 1}: {point}")
            self.cold_once(point, "direct", self.upstream, "slow-herd", self.args.clients)
            for name in self.proxies:
                with self.server(name) as server:
                    self.cold_once(point, name, server, "slow-herd", self.args.clients)
                    self.note("memory, highest, after the herd", name, "MB", server.memory_mb("VmHWM"))

    def cold_once(self, point, name, server, what, connections):
        path, digest, size = self.site.files[what]
        urllib.request.urlopen(server.url + self.site.pages["small"][0], timeout=30).read()
        before = self.transfers(path)
        cpu = server.cpu_seconds()
        result = self.load(server.url + path, connections, "--once")
        cpu = server.cpu_seconds() - cpu
        if result["errors"] or result["requests"] != connections or result["sha256"] != digest:
            self.warnings.append(f"{point}: {name}: {result['requests']} complete, {result['errors'][:3]}")
            return
        self.note(point, name, "first byte, median", statistics.median(result["first_bytes"]))
        self.note(point, name, "total, last client", max(result["totals"]))
        self.note(point, name, "cpu", cpu / (connections * size / 1e9))
        time.sleep(0.1)  # nginx logs a transfer when it is over
        self.note(point, name, "transfers", self.transfers(path) - before)

    def transfers(self, path):
        return (self.upstream.folder / "transfers").read_text().count(f"GET {path} 20")

    # -- the table

    def report(self):
        if self.args.json:
            rows = [{"point": p, "server": s, "measure": m, "values": v} for (p, s, m), v in self.results.items()]
            self.args.json.write_text(json.dumps(rows, indent=1))
        print(f"\nMedians of {self.args.rounds} rounds on {cpu_name()}; servers on one core, load on another.")
        self.report_hot()
        self.report_cold()
        self.report_memory()
        for warning in self.warnings:
            print(f"\n**Warning:** {warning}")

    def median(self, *key):
        values = self.results.get(key)
        return statistics.median(values) if values else None

    def report_hot(self):
        names = ["nginx static", *self.proxies]
        print_table_head("hot", [*names, "larder ÷ static", "larder ÷ proxy_cache"])
        for name, group, *_, unit in HOT:
            name = name.format(mb=self.args.file_mb)
            if group not in self.groups:
                continue
            cells, per = [], "GB" if unit == "GB/s" else "request"
            for server in names:
                value, cpu, busy = (self.median(name, server, m) for m in (unit, "cpu", "busy"))
                if value is None:
                    cells.append("–")
                    continue
                idle = "" if busy > 0.85 else f"; {busy:.0%} busy"
                cells.append(f"{figure(value)} ({figure(cpu)} {'s' if unit == 'GB/s' else 'µs'}/{per}{idle})")
            rates = [self.median(name, server, unit) for server in ("nginx static", "nginx proxy_cache", "larder")]
            print_row(f"{name}, {unit}", [*cells, ratio(rates[2], rates[0]), ratio(rates[2], rates[1])])

    def report_cold(self):
        names = ["direct", *self.proxies]
        points = list(dict.fromkeys(p for p, _, m in self.results if m == "transfers"))
        if points:
            print_table_head("cold", [*names, "larder ÷ direct", "larder ÷ proxy_cache"])
        for point in points:
            for measure in ("first byte, median", "total, last client"):
                values = [self.median(point, server, measure) for server in names]
                larder = self.median(point, "larder", measure)
                cells = ["–" if v is None else f"{figure(v * 1000)} ms" for v in values]
                print_row(f"{point}: {measure}", [*cells, ratio(larder, values[0]), ratio(larder, values[1])])
            counts = [self.results.get((point, server, "transfers"), []) for server in names]
            print_row(f"{point}: upstream transfers", [*("/".join(map(str, c)) or "–" for c in counts), "", ""])
            cpu = [self.median(point, server, "cpu") for server in names]
            cells = ["–" if c is None else figure(c) for c in cpu]
            print_row(f"{point}: CPU, s per GB", [*cells, "", ratio(self.median(point, "larder", "cpu"), cpu[1])])

    def report_memory(self):
        names = ["nginx static", *self.proxies]
        points = list(dict.fromkeys(p for p, _, m in self.results if m == "MB"))
        if points:
            print_table_head("resident memory", names)
        for point in points:
            print_row(point, ["–" if (v := self.median(point, s, "MB")) is None else f"{v:.0f} MB" for s in names])


def on_load_core(*command, timeout):
    command = ["taskset", "-c", rigs.LOAD_CORE, *map(str, command)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout).stdout


def cpu_name():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "an unnamed processor")
    return f"{os.cpu_count()} × {name}"


def figure(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratio(value, base):
    return "–" if value is None or not base else f"{value / base:.2f} ×"


def print_table_head(title, columns):
    print(f"\n| {title} | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")


def print_row(title, cells):
    print(f"| {title} | {' | '.join(cells)} |")


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
