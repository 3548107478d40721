"""A file that no cache has yet, for one client and for many at once; a fresh server with an empty cache each time."""

import machine
from bench import CACHES, DIRECT, LARDER, new_site, say
from report import Goal, divided, figure, table, times, verdict, with_unit

UNTHROTTLED = "cold file, 100 MB, upstream unthrottled"
THROTTLED = "cold file, 100 MB, upstream at 100 MiB/s"
HERD = "herd of {}, one cold file, 100 MB, upstream at 100 MiB/s a connection"


def run(bench, groups):
    port = machine.free_port()
    say("cold: writing the upstream's files")
    site = new_site(bench.new_folder("site"), port)
    for name in ("hundred", "slow-hundred", "slow-herd"):
        site.add_noise(name, 100_000_000)
    site.add_links("small", 11)
    with bench.upstream(site, port) as upstream:
        for point, name, connections in points(bench, groups):
            for turn, in_order in bench.alternating([DIRECT, *bench.names(CACHES)]):
                say(f"round {turn + 1}: {point}")
                for server in in_order:
                    bench.take(point, server, lambda: once(bench, server, upstream, site, name, connections))


def points(bench, groups):
    given = []
    if "cold" in groups:
        given.append((UNTHROTTLED, "hundred", 1))
        if not bench.args.short:
            given.append((THROTTLED, "slow-hundred", 1))
    if "herd" in groups:
        given.append((HERD.format(bench.args.clients), "slow-herd", bench.args.clients))
    return given


def once(bench, name, upstream, site, file, connections):
    if name == DIRECT:
        return bench.fetch_once(upstream, upstream, site, file, connections)
    with bench.server(name, upstream, site) as server:
        # Its connection to the upstream is warm.
        bench.check_page(server, site)
        values = bench.fetch_once(server, upstream, site, file, connections)
        values["memory"] = server.memory_mb("VmHWM")
        return values


def tables(bench, groups):
    names = [DIRECT, *bench.names(CACHES)]
    rows = []
    for point, name, _ in points(bench, groups):
        herd = name == "slow-herd"
        first, total = (_row(bench, point, names, measure) for measure in ("first byte", "total"))
        ratio = divided(bench.median(point, LARDER, "total"), bench.median(point, DIRECT, "total"))
        goal = None if name == "slow-hundred" else Goal(at_most=1.05 if herd else 1.2)
        rows.append((f"{point}: first byte{', median' if herd else ''}", [*first, "", "", ""]))
        rows.append((f"{point}: {'last client' if herd else 'total'}", [*total, times(ratio), *verdict((goal, ratio))]))
        cpu = [figure(bench.median(point, server, "cpu")) for server in names]
        goal = None if goal is None else Goal(at_most=0.25 if herd else 1.0, unit="s")
        rows.append((f"{point}: CPU, s per GB", [*cpu, "", *verdict((goal, bench.median(point, LARDER, "cpu")))]))
        counts = ["/".join(map(str, bench.values(point, server, "transfers"))) or "–" for server in names]
        rows.append((f"{point}: upstream transfers", [*counts, "", "", ""]))
        memory = [with_unit(bench.median(point, server, "memory"), "MB") for server in names]
        rows.append((f"{point}: highest memory", [*memory, "", "", ""]))
    return [table("cold", [*names, "larder ÷ direct", "to reach", "reached"], rows)]


def _row(bench, point, names, measure):
    return [with_unit(ms(bench.median(point, server, measure)), "ms") for server in names]


def ms(seconds):
    return None if seconds is None else seconds * 1000
