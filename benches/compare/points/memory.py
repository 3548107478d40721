"""Resident memory: at rest, with many idle connections, and with 50 large downloads at once. One round: it is steady."""

import time

import load
import machine
from bench import ALL, BEFORE, CADDY, HYPER, LARDER, PROXY, READY, UNSENT, new_site, say
from report import Goal, table, verdict, with_unit

IDLE = "at rest"
IDLE_CONNECTIONS = "an idle connection, of 2,000"
IDLE_TLS = "an idle TLS connection, of 2,000"
HOT = "highest, 50 downloads of one stored file of 100 MB at once"
COLD = "highest, 50 cold files of 100 MB at once"
CONNECTIONS, DOWNLOADS = 2000, 50
ENCRYPTED = [HYPER, READY, CADDY, LARDER, BEFORE]


def run(bench, _):
    port = machine.free_port()
    site = new_site(bench.new_folder("site"), port)
    site.add_links("small", 11)
    site.add_noise("hundred", 100_000_000)
    addresses = site.copies("hundred", DOWNLOADS)
    with bench.upstream(site, port) as upstream:
        for name in bench.names(ALL):
            if name == UNSENT:
                continue
            say(f"memory: {name}")
            fresh = lambda tls=False: bench.server(name, upstream, site, tls=tls)  # noqa: B023, E731
            bench.take(IDLE, name, lambda: at_rest(fresh()))
            bench.take(IDLE_CONNECTIONS, name, lambda: idle(bench, fresh(), site))
            if name in ENCRYPTED:
                bench.take(IDLE_TLS, name, lambda: idle(bench, fresh(tls=True), site, tls=True))
            bench.take(HOT, name, lambda: downloads(fresh(), site))
            # Varnish would have to hold all of them in memory.
            if name in (PROXY, LARDER, BEFORE) and not bench.args.short:
                bench.take(COLD, name, lambda: cold(fresh(), addresses))


def at_rest(server):
    with server:
        time.sleep(1)
        return {"MB": server.memory_mb()}


def idle(bench, server, site, tls=False):
    with server:
        bench.check_page(server, site)
        time.sleep(0.5)
        before = server.memory_mb()
        connections = load.idle_connections((server.tls_url if tls else server.url) + site.pages["small"][0], CONNECTIONS)
        time.sleep(0.5)
        grown = server.memory_mb() - before
        for connection in connections:
            connection.close()
        return {"KiB": grown * 1e6 / 1024 / CONNECTIONS}


def downloads(server, site):
    path = site.files["hundred"][0]
    with server:
        if load.run(server.url + path).errors:
            raise RuntimeError("the file did not come")
        result = load.run(server.url + path, DOWNLOADS)
        if result.errors:
            raise RuntimeError(f"{result.errors[:3]}")
        return {"MB": server.memory_mb("VmHWM")}


def cold(server, addresses):
    with server:
        result = load.run_each([server.url + path for path in addresses])
        if result.errors:
            raise RuntimeError(f"{result.errors[:3]}")
        return {"MB": server.memory_mb("VmHWM")}


def tables(bench, _):
    names = [name for name in bench.names(ALL) if name != UNSENT]
    wanted = [
        (IDLE, "MB", Goal(at_most=14, unit="MB")),
        (IDLE_CONNECTIONS, "KiB", Goal(at_most=24, unit="KiB")),
        (IDLE_TLS, "KiB", None),
        (HOT, "MB", None),
        (COLD, "MB", None),
    ]
    rows = []
    for point, unit, goal in wanted:
        cells = [with_unit(bench.median(point, name, unit), unit) for name in names]
        rows.append((point, [*cells, *verdict((goal, bench.median(point, LARDER, unit)))]))
    return [table("resident memory", [*names, "to reach", "reached"], rows)]
