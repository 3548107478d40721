"""This machine: its cores, what its processes use, and whether something else was at work on it."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cores():
    """The core of the servers, and the core of the load and the upstream."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        sys.exit("the servers and the load need a core each: this process may use only one")
    return usable[0], usable[1]


@contextlib.contextmanager
def pinned(core):
    """What is started inside stays on this core; this process itself goes back."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connects(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid):
    """All processes below one, itself included."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(int(entry))):
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for parent in found:
        found += parents.get(parent, [])
    return found


def stat_fields(pid):
    """Of /proc/PID/stat what follows the name, or None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        if fields := stat_fields(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def memory_mb(pids, field):
    """`VmRSS` now or `VmHWM` at its highest, all processes added up."""
    kilobytes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if found := re.search(rf"^{field}:\s+(\d+) kB", status, re.M):
                kilobytes += int(found[1])
    return kilobytes / 1000


class Watch:
    """How busy the machine was with anything but this program and what it started."""

    def __init__(self):
        self.clock = os.times().elapsed
        self.busy, self.steal = self._all()
        self.ours = self._ours()

    @staticmethod
    def _all():
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        user, nice, system, _, _, interrupts, soft_interrupts, steal = fields[:8]
        return (user + nice + system + interrupts + soft_interrupts) / TICKS, steal / TICKS

    @staticmethod
    def _ours():
        ticks = 0
        for pid in descendants(os.getpid()):
            if fields := stat_fields(pid):
                ticks += sum(int(field) for field in fields[11:15])  # with ended children
        return ticks / TICKS

    def disturbance(self):
        """Others' share of one core's time since this watch began: stolen, or used by strangers."""
        seconds = max(os.times().elapsed - self.clock, 0.05)
        busy, steal = self._all()
        others = (busy - self.busy) - (self._ours() - self.ours)
        # What is counted in hundredths of a second on both sides is not told apart better.
        others = max(0.0, others - 0.03)
        return (others + (steal - self.steal)) / seconds


def run(command, **how):
    """A command on the core of the load, to its end; its output."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, **how)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def version(*command):
    """The first line that a program says of its version, or None if it is not here."""
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines[0].strip() if lines else "?"


def description():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
                "an unnamed processor")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} × {name}, {memory:.0f} GB, Linux {os.uname().release}"
