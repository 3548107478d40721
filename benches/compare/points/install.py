"""pip and uv install 42 packages that need each other, with 30 ms to GitLab: directly, and through a cache cold and warm.

The clients start with nothing in a cache of their own. `uv lock` reads pages and metadata only; the other two fetch the
wheels as well. What GitLab was asked and sent meanwhile is read from its log, when the cache has come to rest.
"""

import os
import shutil
import time
from contextlib import ExitStack

import content
import machine
from bench import BEFORE, DIRECT, LARDER, PROXY, new_site, say
from report import Goal, divided, figure, table, times, verdict

DISTANCE = 30
REST = 1.0
LOCK, UV, PIP = "`uv lock`", "`uv pip install`", "`pip install`"
GOALS = {UV: Goal(at_most=0.95), PIP: Goal(at_most=1.0)}
WAYS = [(PROXY, "cold"), (PROXY, "warm"), (LARDER, "cold"), (LARDER, "warm"), (BEFORE, "cold"), (BEFORE, "warm")]


def run(bench, _):
    if bench.tools.no_python_tools:
        bench.warn(f"install: no pip and uv: {bench.tools.no_python_tools}")
        return
    say("install: making 126 wheels")
    port, relay_port = machine.free_port(), machine.free_port()
    site = new_site(bench.new_folder("site"), relay_port)
    content.add_packages(site)
    for ranges in (True, False):
        if not ranges and bench.args.short:
            continue
        with ExitStack() as stack:
            upstream = stack.enter_context(bench.upstream(site, port, ranges=ranges))
            gitlab = stack.enter_context(bench.relay(relay_port, port, DISTANCE))
            measure_all(bench, upstream, gitlab, site, ranges)


def measure_all(bench, upstream, gitlab, site, ranges):
    names = bench.names([PROXY, LARDER, BEFORE])
    for command in (LOCK, UV, PIP):
        point = point_name(command, ranges)
        for turn, in_order in bench.alternating([DIRECT, *names]):
            say(f"round {turn + 1}: {point}")
            for name in in_order:
                if name == DIRECT:
                    bench.take(point, DIRECT, lambda: measure(bench, command, gitlab, upstream))
                    continue
                server = bench.server(name, upstream, site, gitlab.url)
                bench.attempt(point, name, lambda: cold_and_warm(bench, point, command, server, upstream))


def cold_and_warm(bench, point, command, server, upstream):
    with server:
        for state in ("cold", "warm"):
            # Not again if disturbed: it would not be cold any more.
            bench.take(point, f"{server.name}, {state}", lambda: measure(bench, command, server, upstream), repeats=0)


def point_name(command, ranges):
    return f"{command}, GitLab answers {'ranges' if ranges else 'no ranges'}"


def measure(bench, command, server, upstream):
    index = f"{server.url}{content.PROJECT}/simple/"
    folder = bench.new_folder("client")
    folder.mkdir()
    before = upstream.log_lines()
    try:
        begin = time.perf_counter()
        client(bench, command, index, folder)
        seconds = time.perf_counter() - begin
    finally:
        shutil.rmtree(folder)
    come_to_rest(upstream)
    lines = upstream.log_lines()[len(before):]
    sent = sum(int(line.rpartition(" ")[2]) for line in lines)
    return {"seconds": seconds, "requests": len(lines), "MB": sent / 1e6}


def client(bench, command, index, folder):
    programs = bench.tools.programs
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    env |= {"HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(folder / "cache"),
            "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "UV_PYTHON_DOWNLOADS": "never"}
    python, target = programs / "python", folder / "site"
    if command == LOCK:
        wanted = ", ".join(f'"{name}"' for name in content.WANTED)
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "whole"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = [{wanted}]\n'
        )
        machine.run([programs / "uv", "lock", "--python", python, "--default-index", index], cwd=folder, env=env, timeout=300)
        locked = (folder / "uv.lock").read_text().count("[[package]]") - 1
    elif command == UV:
        machine.run([programs / "uv", "pip", "install", "--python", python, "--target", target, "--link-mode", "copy",
                     "--default-index", index, *content.WANTED], cwd=folder, env=env, timeout=300)
        locked = installed(target)
    else:
        machine.run([python, "-m", "pip", "install", "--target", target, "--no-cache-dir", "--no-compile", "--quiet",
                     "--disable-pip-version-check", "--index-url", index, *content.WANTED], cwd=folder, env=env, timeout=300)
        locked = installed(target)
    if locked != content.PACKAGES:
        raise RuntimeError(f"{locked} packages in place of {content.PACKAGES}")


def installed(target):
    return sum(1 for _ in target.glob("*.dist-info"))


def come_to_rest(upstream):
    """Until GitLab is asked nothing more."""
    asked, since = len(upstream.log_lines()), time.monotonic()
    while time.monotonic() - since < REST:
        time.sleep(0.05)
        if (now := len(upstream.log_lines())) != asked:
            asked, since = now, time.monotonic()


def tables(bench, _):
    rows = []
    for ranges in (True,) if bench.args.short else (True, False):
        for command in (LOCK, UV, PIP):
            point = point_name(command, ranges)
            direct = bench.median(point, DIRECT, "seconds")
            for way in [DIRECT, *(f"{name}, {state}" for name, state in WAYS)]:
                seconds, requests, size = (bench.median(point, way, m) for m in ("seconds", "requests", "MB"))
                if seconds is None:
                    continue
                ratio = divided(seconds, direct)
                goal = GOALS.get(command) if way == f"{LARDER}, cold" and ranges else None
                cells = [way, figure(seconds), times(ratio), figure(requests), figure(size), *verdict((goal, ratio))]
                rows.append((point, cells))
    columns = ["", "seconds", "÷ direct", "requests to GitLab", "MB from GitLab", "to reach", "reached"]
    return [table(f"install of {content.PACKAGES}, {DISTANCE} ms to GitLab", columns, rows)]
