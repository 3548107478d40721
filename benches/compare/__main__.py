"""Sets larder beside other servers in one run, on one machine, and prints tables in Markdown.

    python3 benches/compare                        builds larder as it is published and measures everything
    python3 benches/compare --short                the same in under 15 minutes
    python3 benches/compare --only herd            one group of points; may be given more than once
    python3 benches/compare --baseline OLD/larder  another larder in the same run, to see what a change did

benches/README.md says what is measured, and how to read it.
"""

import argparse
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True  # leaves nothing in the source tree
import machine  # noqa: E402
from bench import Bench, remove, say  # noqa: E402
from points import cold, expired, growth, hot, install, memory, shared, startup  # noqa: E402

# Modules, and the groups of points that each one measures.
MODULES = [
    (hot, ["pages", "files", "tls"]),
    (cold, ["cold", "herd"]),
    (expired, ["expired"]),
    (memory, ["memory"]),
    (install, ["install"]),
    (shared, ["shared"]),
    # The last two share a large store, which the first grows and the second only opens.
    (growth, ["growth"]),
    (startup, ["startup"]),
]
GROUPS = [group for _, groups in MODULES for group in groups]


def main():
    args = arguments()
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    # For thousands of connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = Path(tempfile.mkdtemp(prefix="larder-bench-", dir=args.folder))
    try:
        bench = Bench(folder, args)
        begin = time.monotonic()
        for module, groups in MODULES:
            if wanted := [group for group in groups if group in args.only]:
                module.run(bench, wanted)
        report(bench, time.monotonic() - begin)
    finally:
        say("removing what was written")
        remove(folder)


def leave(number, _):
    """By exception, so that every server is ended; once, so that this is not cut short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def arguments():
    parser = argparse.ArgumentParser(
        prog="benches/compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path = lambda text: Path(text).resolve()  # noqa: E731
    parser.add_argument("--larder", type=path, help="a built larder; default: sh .ci/dist")
    parser.add_argument("--bare-hyper", type=path, help="a built bare_hyper, likewise")
    parser.add_argument("--baseline", type=path, help="an older larder, to be measured in the same run")
    parser.add_argument("--only", action="append", choices=GROUPS, help="a group of points; default: all")
    parser.add_argument("--without", action="append", default=[], metavar="SERVER", help="a server as the tables name it")
    parser.add_argument("--short", action="store_true", help="under 15 minutes: shorter measurements, smaller stores")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, help="length of one hot measurement; default: 3, short: 1")
    parser.add_argument("--clients", type=int, default=50, help="size of the herd")
    parser.add_argument("--files", type=int, help="files in the large store; default: 1,000,000, short: 100,000")
    parser.add_argument("--disturbance", type=float, default=0.15, help="share of a core that other processes may use")
    parser.add_argument("--repeats", type=int, default=2, help="how often a disturbed measurement is repeated")
    parser.add_argument("--folder", type=path, help="where the caches lie; default: the system's temporary folder")
    parser.add_argument("--json", type=path, help="also write every single value here")
    args = parser.parse_args()
    args.only = args.only or GROUPS
    args.seconds = args.seconds or (1 if args.short else 3)
    args.files = args.files or (100_000 if args.short else 1_000_000)
    return args


def report(bench, seconds):
    args = bench.args
    if args.json:
        bench.write_json()
    print(f"\nMedians of {args.rounds} rounds on {machine.description()}; servers on core {bench.server_core}, load and")
    print(f"upstream on core {bench.load_core}. {bench.tools.versions()}.")
    if "/debug/" in f"{bench.tools.larder} {bench.tools.bare_hyper}":
        print("\n**Warning:** larder or bare hyper is not built as it is published.")
    print(f"\n{bench.taken} measurements in {seconds / 60:.0f} minutes; {bench.thrown} more were thrown away because something else")
    print(f"used over {args.disturbance:.0%} of a core, and {bench.kept_disturbed} were kept although it did.")
    for name, why in bench.absent().items():
        print(f"\nNot here: {name} ({why}).")
    for module, groups in MODULES:
        if wanted := [group for group in groups if group in args.only]:
            for table in module.tables(bench, wanted):
                print(f"\n{table}")
    for warning in bench.warnings:
        print(f"\n**Warning:** {warning}")


if __name__ == "__main__":
    main()
