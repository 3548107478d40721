"""A page that many ask for all the time, and that is too old after each second; GitLab is 30 ms away."""

from contextlib import ExitStack

import machine
from bench import BEFORE, CACHES, LARDER, new_site, say
from report import table, with_unit

POINT = "page of 11 links that expires after a second, 16 connections, 30 ms to GitLab"
DISTANCE = 30
SETTINGS = '[index]\nttl = "1s"'


def run(bench, _):
    with ExitStack() as stack:
        port, relay_port, ready_port = (machine.free_port() for _ in range(3))
        site = new_site(bench.new_folder("site"), relay_port)
        site.add_links("small", 11)
        upstream = stack.enter_context(bench.upstream(site, port))
        gitlab = stack.enter_context(bench.relay(relay_port, port, DISTANCE))
        ready = stack.enter_context(bench.relay(ready_port, upstream.tls_port, DISTANCE))
        for turn, in_order in bench.alternating(bench.names(CACHES)):
            say(f"round {turn + 1}: {POINT}")
            for name in in_order:
                server = bench.server(name, upstream, site, gitlab.url, ready.url, page_seconds=1)
                if name in (LARDER, BEFORE):
                    server.with_settings(SETTINGS)
                bench.take(POINT, name, lambda: measure(bench, server, upstream, site))


def measure(bench, server, upstream, site):
    seconds = max(4, bench.args.seconds)
    path = site.pages["small"][0]
    with server:
        bench.check_page(server, site)
        asked, cpu = len(upstream.log_lines()), server.cpu_seconds()
        result = bench.wrk.run(server.url + path, 16, seconds)
        cpu = server.cpu_seconds() - cpu
        if result["failed"] or not result["requests"]:
            raise RuntimeError(f"wrk: {result}")
        return {
            "rate": result["requests"] / result["seconds"],
            "cpu": cpu / result["requests"] * 1e6,
            "p99": result["p99"] * 1000,
            "slowest": result["slowest"] * 1000,
            "asked": (len(upstream.log_lines()) - asked) / result["seconds"],
        }


def tables(bench, _):
    names = bench.names(CACHES)
    measures = [("answers a second", "rate", ""), ("CPU an answer", "cpu", "µs"), ("99 of 100 within", "p99", "ms"),
                ("slowest", "slowest", "ms"), ("GitLab is asked, times a second", "asked", "")]
    rows = [(f"{POINT}: {title}", [with_unit(bench.median(POINT, name, measure), unit).strip() for name in names])
            for title, measure, unit in measures]
    return [table("expired", names, rows)]
