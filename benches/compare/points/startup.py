"""From the start of the process to the first good page: on an empty store, and on one with a million files."""

import time

import load
import machine
from bench import ALL, LARDER, UNSENT, new_site, say
from report import Goal, table, verdict, with_unit

EMPTY = "an empty store"
FULL = "{:,} files"
PATIENCE = 60


def run(bench, _):
    port = machine.free_port()
    site = new_site(bench.new_folder("site"), port)
    site.add_links("small", 11)
    names = [name for name in bench.names(ALL) if name != UNSENT]
    with bench.upstream(site, port) as upstream:
        for turn, in_order in bench.alternating(names):
            say(f"round {turn + 1}: start on {EMPTY}")
            for name in in_order:
                bench.take(EMPTY, name, lambda: start(bench.server(name, upstream, site), site))
        bulk = bench.bulk_store(bench.args.files)
        point = FULL.format(bulk.files)
        for turn, in_order in bench.alternating(bench.larders()):
            say(f"round {turn + 1}: start on {point}")
            for name in in_order:
                server = bench.server(name, upstream, site).with_settings(cache=bulk.folder)
                bench.take(point, name, lambda: start(server, site, until_rest=True))


def start(server, site, until_rest=False):
    path, page = site.pages["small"]
    begin = time.perf_counter()
    server.start()
    try:
        while first_page(server.url + path) != page:
            if time.perf_counter() - begin > PATIENCE or server.process.poll() is not None:
                raise RuntimeError(f"no good page: {server.output.read_text(errors='replace')[-500:]}")
        values = {"seconds": time.perf_counter() - begin}
        if until_rest:
            values["cpu"] = come_to_rest(server)
            values["MB"] = server.memory_mb("VmHWM")
        return values
    finally:
        server.__exit__()


def first_page(url):
    """None as long as there is none."""
    try:
        return load.fetch(url)[1]
    except (OSError, RuntimeError, ValueError):
        time.sleep(0.0002)
        return None


def come_to_rest(server):
    """Waits until the server does nothing for a second; the CPU time that it has used."""
    used = server.cpu_seconds()
    since = time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.1)
        if (now := server.cpu_seconds()) > used + 0.01:
            used, since = now, time.monotonic()
    return used


def tables(bench, _):
    names = [name for name in bench.names(ALL) if name != UNSENT]
    full = FULL.format(bench.args.files)
    wanted = [
        (f"{EMPTY}: first good page after", EMPTY, "seconds", 1000, "ms", Goal(at_most=15, unit="ms")),
        (f"{full}: first good page after", full, "seconds", 1000, "ms", Goal(at_most=60, unit="ms")),
        (f"{full}: CPU until at rest", full, "cpu", 1, "s", None),
        (f"{full}: highest memory", full, "MB", 1, "MB", None),
    ]
    rows = []
    for title, point, measure, factor, unit, goal in wanted:
        values = {name: bench.median(point, name, measure) for name in names}
        values = {name: None if value is None else value * factor for name, value in values.items()}
        cells = [with_unit(values[name], unit) for name in names]
        rows.append((title, [*cells, *verdict((goal, values.get(LARDER)))]))
    return [table("start", [*names, "to reach", "reached"], rows)]
