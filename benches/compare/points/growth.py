"""What a request costs a larder that holds much and knows many callers, and what looking after a large store takes."""

import os
import subprocess
import time

import load
import machine
from bench import new_site, say
from content import PRIVATE_PROJECT, PROJECT
from points.startup import come_to_rest
from report import figure, table
from wrk import CALLERS

REAL = 1000
STORE, CALLER, UPKEEP = "{:,} files in the store", "{:,} callers", "{:,} files"
# One after the other, each of so many addresses.
ADDRESSES = """
local paths, number = {%s}, 0
request = function()
  number = number %% #paths + 1
  return wrk.format(nil, paths[number])
end
"""
PAGE, FILE, FILES = "page of 11 links", "file of 3 kB", f"{REAL:,} files of 3 kB in turn"


def run(bench, _):
    port = machine.free_port()
    site = new_site(bench.new_folder("site"), port)
    site.add_links("small", 11)
    site.add_links("private", 11, PRIVATE_PROJECT)
    real = site.add_many("real", REAL, 3000)
    with bench.upstream(site, port) as upstream:
        callers(bench, site, upstream)
        for count in store_sizes(bench):
            bulk = bench.bulk_store(count)
            if not (bulk.folder / "real").exists():
                bulk.add_real(site, real)
                (bulk.folder / "real").touch()
            requests(bench, site, upstream, bulk, real)
        upkeep(bench, site, upstream, bulk)


def store_sizes(bench):
    return [*(count for count in (100, 10_000) if count < bench.args.files), bench.args.files]


def caller_counts(bench):
    return [1, 1000, 10_000 if bench.args.short else 100_000]


# -- requests


def requests(bench, site, upstream, bulk, real):
    point = STORE.format(bulk.files)
    paths = [site.files[name][0] for name in real]
    in_turn = ADDRESSES % ", ".join(f'"{path}"' for path in paths)
    asked = [(PAGE, site.pages["small"][0], ""), (FILE, paths[0], ""), (FILES, "/", in_turn)]

    def measure(name):
        with bench.server(name, upstream, site).with_settings(cache=bulk.folder) as server:
            bench.check_page(server, site)
            come_to_rest(server)
            load.run_each([server.url + path for path in paths])
            for what, path, script in asked:
                bench.take(f"{point}: {what}", name, lambda: cost(bench, server, upstream, path, script))

    for turn, in_order in bench.alternating(bench.larders()):
        say(f"round {turn + 1}: {point}")
        for name in in_order:
            bench.attempt(point, name, lambda: measure(name))


def cost(bench, server, upstream, path, script):
    asked, cpu = len(upstream.log_lines()), server.cpu_seconds()
    result = bench.wrk.run(server.url + path, 16, bench.args.seconds, extra=script)
    cpu = server.cpu_seconds() - cpu
    if result["failed"] or not result["requests"]:
        raise RuntimeError(f"wrk: {result}")
    return {"cpu": cpu / result["requests"] * 1e6, "asked": len(upstream.log_lines()) - asked}


def callers(bench, site, upstream):
    for count in caller_counts(bench):
        point = CALLER.format(count)
        for turn, in_order in bench.alternating(bench.larders()):
            say(f"round {turn + 1}: {point}")
            for name in in_order:
                server = bench.server(name, upstream, site)
                bench.attempt(point, name, lambda: known_callers(bench, point, count, server, upstream, site))


def known_callers(bench, point, count, server, upstream, site):
    server.with_settings('[auth]\ncache_entries = 200000\ncache_ttl = "300s"')
    path = site.pages["private"][0]
    with server:
        before = server.memory_mb()
        introduce(server.url + path, count)
        bench.note(point, server.name, "MB", server.memory_mb() - before)
        script = CALLERS % count
        bench.take(point, server.name, lambda: cost(bench, server, upstream, path, script))


def introduce(url, count):
    """Each caller asks once, so that GitLab's decision about it is known."""
    with load.connect(url) as connection:
        for number in range(1, count + 1):
            load.one_answer(connection, load.request_for(url, [f"Authorization: Bearer caller-{number}"]))


# -- upkeep: the last point, because it changes the store


def upkeep(bench, site, upstream, bulk):
    point = UPKEEP.format(bulk.files)
    for name in bench.larders():
        for command in (["ls"], ["gc"]):
            say(f"{point}: {name} {command[0]}")
            server = bench.server(name, upstream, site).with_settings(cache=bulk.folder)
            bench.take(f"{point}: `larder {command[0]}`", name, lambda: run_command(server, command), repeats=0)
        say(f"{point}: {name}, offline index")
        server = bench.server(name, upstream, site)
        server.with_settings('[auth]\noffline = "open"', "offline = true", bulk.folder)
        bench.take(f"{point}: list of projects, offline", name, lambda: offline_index(server), repeats=0)
        say(f"{point}: {name}, eviction")
        server = bench.server(name, upstream, site)
        file = site.add_file(f"evicting_{len(site.files)}-1.0-py3-none-any.whl", site.noise.randbytes(1_000_000))
        bench.take(f"{point}: a file that makes others go", name, lambda: eviction(server, bulk, file), repeats=0)


def run_command(server, command):
    """Seconds and memory of a command on a folder at rest."""
    server.folder.mkdir(parents=True)
    begin, memory = time.perf_counter(), 0
    with (server.folder / "errors").open("wb") as errors, machine.pinned(server.core):
        process = subprocess.Popen([str(server.binary), "--config", str(server.write_config()), *command],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
    # What the system tells of an ended process includes the memory of the one that started it.
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        memory = max(memory, machine.memory_mb([process.pid], "VmHWM"))
        time.sleep(0.002)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: {(server.folder / 'errors').read_text()[-500:]}")
    cpu = ended[2].ru_utime + ended[2].ru_stime
    return {"seconds": time.perf_counter() - begin, "cpu": cpu, "MB": memory}


def offline_index(server):
    with server:
        come_to_rest(server)
        cpu = server.cpu_seconds()
        begin = time.perf_counter()
        _, body = load.fetch(f"{server.url}{PROJECT}/simple/", timeout=load.PATIENCE * 5)
        seconds = time.perf_counter() - begin
        if b"filler" not in body:
            raise RuntimeError("the list of projects is empty")
        return {"seconds": seconds, "cpu": server.cpu_seconds() - cpu, "MB": server.memory_mb("VmHWM")}


def eviction(server, bulk, file):
    """A download into a store that is full."""
    size = bulk.bytes_stored() * 9 // 10
    server.with_settings(top=f'cache_size = "{size}B"', cache=bulk.folder)
    with server:
        come_to_rest(server)
        cpu = server.cpu_seconds()
        result = load.run(server.url + file[0])
        if result.errors or result.sha256 != file[1]:
            raise RuntimeError(f"{result.errors}")
        come_to_rest(server)
        if bulk.bytes_stored() > size:
            raise RuntimeError("nothing was evicted")
        return {"seconds": result.totals[0], "cpu": server.cpu_seconds() - cpu, "MB": server.memory_mb("VmHWM")}


# -- tables


def tables(bench, _):
    names = bench.larders()
    rows = []
    for what in (PAGE, FILE, FILES):
        for count in store_sizes(bench):
            point = f"{STORE.format(count)}: {what}"
            rows.append((point, [_request(bench, point, name) for name in names]))
    for count in caller_counts(bench):
        point = CALLER.format(count)
        cells = []
        for name in names:
            grown = bench.median(point, name, "MB")
            cells.append(_request(bench, point, name) + ("" if grown is None else f", {figure(grown)} MB more memory"))
        rows.append((f"{point}: {PAGE}", cells))
    upkeep_rows = []
    for what in ("`larder ls`", "`larder gc`", "list of projects, offline", "a file that makes others go"):
        point = f"{UPKEEP.format(bench.args.files)}: {what}"
        upkeep_rows.append((point, [_work(bench, point, name) for name in names]))
    return [table("CPU a request", names, rows), table("upkeep: seconds, CPU, highest memory", names, upkeep_rows)]


def _request(bench, point, name):
    cpu, asked = bench.median(point, name, "cpu"), bench.median(point, name, "asked")
    return "–" if cpu is None else f"{figure(cpu)} µs" + (f" (GitLab asked {asked:.0f} times)" if asked > 50 else "")


def _work(bench, point, name):
    seconds, cpu, memory = (bench.median(point, name, measure) for measure in ("seconds", "cpu", "MB"))
    return "–" if seconds is None else f"{figure(seconds)} s, {figure(cpu)} s CPU, {figure(memory)} MB"
