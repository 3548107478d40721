"""What a configured [shared_store] costs a request for what is stored, in instructions: callgrind counts them, so that
neither the machine nor its neighbours have a part in it. One round: it is steady."""

import http.client
import re
import shutil
from urllib.parse import urlsplit

import machine
from bench import LARDER, new_site, say
from report import Goal, divided, figure, table, verdict
from servers import Larder

WITHOUT, WITH = "larder", "with [shared_store]"
POINTS = [("page, 11 links (3 kB)", "pages", "small"), ("file, 100 kB", "files", "one")]
# Counted are the second ones alone: neither the start nor what is learned at first has a part in it.
FIRST, COUNTED = 100, 2000
GOAL = Goal(at_most=1.02)


class Counted(Larder):
    """A larder whose instructions are counted."""

    def prepare(self):
        command, more = super().prepare()
        counts = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.folder / 'counts'}"]
        return ["valgrind", *counts, *command], more

    def wait_until_up(self, seconds=120):
        super().wait_until_up(seconds)

    def count(self, whether):
        machine.run(["callgrind_control", f"--instr={'on' if whether else 'off'}", str(self.process.pid)])

    def counted(self):
        """All instructions, once it has ended."""
        said = self.output.read_text(errors="replace")
        found = re.search(r"Collected : (\d+)", said)
        if not found:
            raise RuntimeError(f"callgrind counted nothing: {said[-400:]}")
        return int(found[1])


def run(bench, _):
    if not shutil.which("valgrind"):
        bench.warn("shared: valgrind is missing: on Debian, `apt-get install valgrind`")
        return
    port = machine.free_port()
    site = new_site(bench.new_folder("site"), port)
    site.add_links("small", 11)
    site.add_noise("one", 100_000)
    with bench.upstream(site, port) as upstream:
        for point, kind, name in POINTS:
            path = getattr(site, kind)[name][0]
            for server in (WITHOUT, WITH):
                say(f"shared: {point}: {server}")
                bench.take(point, server, lambda: cost(bench, upstream, path, server == WITH), repeats=0)  # noqa: B023


def cost(bench, upstream, path, is_shared):
    server = Counted(LARDER, bench.new_folder("server"), bench.server_core, bench.tools.larder, upstream.url)
    if is_shared:
        server.with_settings(section(bench))
    server.start()
    try:
        server.wait_until_up()
        ask(server.url, path, FIRST)
        server.count(True)
        ask(server.url, path, COUNTED)
        server.count(False)
        server.stop()
        return {"instructions": server.counted() / COUNTED}
    finally:
        if server.process.poll() is None:
            server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


def section(bench):
    """A bucket that is away: what is stored is not looked up there."""
    files = {"access_key_id_file": "id", "secret_access_key_file": "secret", "fleet_key_file": "0123456789abcdef" * 4}
    folder = bench.new_folder("keys")
    folder.mkdir(parents=True)
    lines = ['[shared_store]', 'url = "s3://wheels/fleet"', f'endpoint = "http://127.0.0.1:{machine.free_port()}"']
    for key, text in files.items():
        (folder / key).write_text(text)
        lines.append(f'{key} = "{folder / key}"')
    return "\n".join(lines) + "\n"


def ask(url, path, requests):
    """One after another, on one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for _ in range(requests):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
    connection.close()


def tables(bench, _):
    rows = []
    for point, _, _ in POINTS:
        without, shared = (bench.median(point, server, "instructions") for server in (WITHOUT, WITH))
        ratio = divided(shared, without)
        exactly = "–" if ratio is None else f"{ratio:.4f} ×"
        rows.append((point, [figure(without), figure(shared), exactly, *verdict((GOAL, ratio))]))
    return [table("instructions a request", [WITHOUT, WITH, f"{WITH} ÷", "to reach", "reached"], rows)]
