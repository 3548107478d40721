"""What all points share: the servers that are here, the upstream, and the figures with the rounds thrown away."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import content
import load
import machine
import rivals
import tools
from bulk import BulkStore
from servers import Larder
from wrk import Wrk

# As they stand in the tables.
READY, UNSENT, PROXY = "nginx", "nginx, no sendfile", "nginx proxy_cache"
VARNISH, CADDY, HYPER, LARDER, BEFORE = "Varnish", "caddy", "bare hyper", "larder", "larder before"
DIRECT = "direct"
ALL = [HYPER, READY, UNSENT, CADDY, VARNISH, PROXY, LARDER, BEFORE]
# What a server that does not do as it should leads to.
FAULTS = (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired)
CACHES = [VARNISH, PROXY, LARDER, BEFORE]


class Bench:
    def __init__(self, folder, args):
        self.folder, self.args = folder, args
        self.server_core, self.load_core = machine.cores()
        os.sched_setaffinity(0, {self.load_core})
        self.tools = tools.Tools(args, folder)
        self.wrk = Wrk(folder)
        self.results = {}  # (point, server, measure) -> values, one a round
        self.warnings = []
        self.taken = self.thrown = self.kept_disturbed = 0
        self.started = 0
        self.bulk = None

    # -- who is here

    def names(self, among=ALL):
        """The servers of these that can be started here, and were not left out."""
        return [name for name in among if self.tools.why_not(name) is None and name not in self.args.without]

    def absent(self, among=ALL):
        return {name: why for name in among if (why := self.tools.why_not(name)) and name != BEFORE}

    def new_folder(self, what):
        self.started += 1
        return self.folder / f"{what}-{self.started}"

    def upstream(self, site, port, **how):
        return rivals.Upstream(self.new_folder("upstream"), self.load_core, port, site, **how)

    def relay(self, port, server_port, milliseconds):
        return rivals.Relay(self.new_folder("relay"), self.load_core, port, server_port, milliseconds)

    def server(self, name, upstream, site, gitlab=None, ready=None, tls=False, page_seconds=30):
        """A fresh server of that name, with an empty cache. `gitlab` and `ready`: where it finds the upstream's two
        sides, if not at their own ports."""
        folder, core = self.new_folder("server"), self.server_core
        certificate = self.tools.certificate if tls or name in (CADDY, HYPER) else None
        gitlab = gitlab or upstream.url
        if name in (READY, UNSENT):
            return rivals.nginx_ready(name, folder, core, site, certificate, sendfile=name == READY)
        if name == PROXY:
            return rivals.nginx_proxy(name, folder, core, gitlab, page_seconds)
        if name == VARNISH:
            return rivals.Varnish(name, folder, core, ready or upstream.ready_url, page_seconds)
        if name == CADDY:
            return rivals.Caddy(name, folder, core, self.tools.caddy, site, certificate)
        if name == HYPER:
            return rivals.BareHyper(name, folder, core, self.tools.bare_hyper, site, certificate)
        binary = self.tools.larder if name == LARDER else self.tools.baseline
        return Larder(name, folder, core, binary, gitlab, certificate)

    def bulk_store(self, files):
        """The one large store, grown to so many files if it is smaller."""
        if self.bulk is None:
            self.bulk = BulkStore(self.folder / "bulk")
        if self.bulk.files < files:
            say(f"making a store of {files:,} files")
            self.bulk.grow(files)
        return self.bulk

    def larders(self):
        return self.names([LARDER, BEFORE])

    def alternating(self, names):
        """Round by round, in turned order: (round, servers)."""
        for turn in range(self.args.rounds):
            yield turn, names if turn % 2 == 0 else list(reversed(names))

    # -- figures

    def take(self, point, server, measure_once, repeats=None):
        """Notes what `measure_once` gives, a value for each measure. If something else was at work on this machine
        meanwhile, what it gave is thrown away and it is done again; the last time counts whatever happens."""
        repeats = self.args.repeats if repeats is None else repeats
        for attempt in range(repeats + 1):
            watch = machine.Watch()
            try:
                values = measure_once()
            except FAULTS as error:
                self.warn(f"{point}: {server}: {error}")
                return
            disturbance = watch.disturbance()
            if disturbance <= self.args.disturbance:
                break
            if attempt < repeats:
                self.thrown += 1
                say(f"    thrown away: something else used {disturbance:.0%} of a core")
            else:
                self.kept_disturbed += 1
        self.taken += 1
        for measure, value in values.items():
            self.note(point, server, measure, value)

    def attempt(self, point, server, work):
        """Several measurements of one server. If it does not come up, its cells stay empty."""
        try:
            work()
        except FAULTS as error:
            self.warn(f"{point}: {server}: {error}")

    def note(self, point, server, measure, value):
        self.results.setdefault((point, server, measure), []).append(value)

    def values(self, point, server, measure):
        return self.results.get((point, server, measure), [])

    def median(self, point, server, measure):
        values = self.values(point, server, measure)
        return statistics.median(values) if values else None

    def warn(self, text):
        say(f"    warning: {text}")
        self.warnings.append(text)

    def write_json(self):
        rows = [{"point": p, "server": s, "measure": m, "values": v} for (p, s, m), v in self.results.items()]
        self.args.json.write_text(json.dumps({"machine": machine.description(), "rows": rows}, indent=1))

    # -- steps that several points take

    @staticmethod
    def check_page(server, site, name="small", headers=()):
        path, page = site.pages[name]
        _, body = load.fetch(server.url + path, headers=headers)
        if body != page:
            raise RuntimeError(f"{server.name}: page {name} is not the page expected")

    def fetch_once(self, server, upstream, site, name, connections):
        """One cold file, asked for on so many connections at the same moment."""
        path, digest, size = site.files[name]
        before, cpu = upstream.transfers(path), server.cpu_seconds()
        result = load.run(server.url + path, connections)
        cpu = server.cpu_seconds() - cpu
        if result.errors or result.requests != connections or result.sha256 != digest:
            raise RuntimeError(f"{result.requests} complete of {connections}, {result.errors[:3]}")
        time.sleep(0.1)  # nginx logs a transfer when it is over
        return {
            "first byte": statistics.median(result.first_bytes),
            "total": max(result.totals),
            "cpu": cpu / (connections * size / 1e9),
            "transfers": upstream.transfers(path) - before,
        }


def say(text):
    print(text, file=sys.stderr, flush=True)


def remove(folder):
    """Also one with millions of files, for which Python would need minutes."""
    if Path(folder).exists():
        machine.run([shutil.which("rm"), "-rf", folder])


def new_site(folder, port):
    return content.Site(folder, f"http://127.0.0.1:{port}")
