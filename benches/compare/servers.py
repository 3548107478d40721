"""A server process on a core, and larder among them. The servers beside it are in rivals.py."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import machine


class Server:
    """A server process, pinned to a core, with a folder and two ports of its own; use as a context."""

    def __init__(self, name, folder, core):
        self.name, self.folder, self.core = name, folder, core
        self.port, self.tls_port = machine.free_port(), machine.free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.tls_port}"
        self.process = None

    def prepare(self):
        """Writes what the server needs into its folder; gives the command and what the environment has more."""
        raise NotImplementedError

    def __enter__(self):
        self.start()
        try:
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        command, more = self.prepare()
        self.output = self.folder / "output"
        with self.output.open("wb") as output, machine.pinned(self.core):
            # In a session of its own, so that Ctrl-C ends the servers only once they are not needed.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **more}, start_new_session=True,
            )

    def stop(self):
        pids = self.pids()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in pids[1:]:
            # Helpers that outlive their parent.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until_up(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if machine.connects(self.port):
                return
            time.sleep(0.005)
        said = " ".join(self.output.read_text(errors="replace").split())
        raise RuntimeError(f"did not start: {said[-400:]}")

    def pids(self):
        return machine.descendants(self.process.pid)

    def cpu_seconds(self):
        return machine.cpu_seconds(self.pids())

    def memory_mb(self, field="VmRSS"):
        return machine.memory_mb(self.pids(), field)


class Larder(Server):
    """`larder serve` with its defaults, or with more lines in its configuration."""

    def __init__(self, name, folder, core, binary, upstream_url, certificate=None):
        super().__init__(name, folder, core)
        self.binary, self.upstream_url, self.certificate = binary, upstream_url, certificate
        self.cache = folder / "cache"
        self.top, self.sections = "", ""

    def with_settings(self, sections="", top="", cache=None):
        self.sections, self.top = sections, top
        self.cache = cache or self.cache
        return self

    def prepare(self):
        return [str(self.binary), "serve", "--config", str(self.write_config())], {}

    def write_config(self):
        tls = ""
        if self.certificate:
            certificate, key = self.certificate
            tls = f'[tls]\nlisten = "127.0.0.1:{self.tls_port}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
        config = self.folder / "config.toml"
        config.write_text(
            f'listen = "127.0.0.1:{self.port}"\ncache_dir = "{self.cache}"\n{self.top}\n'
            f'[gitlab]\nurl = "{self.upstream_url}"\n{tls}{self.sections}\n'
        )
        return config
