"""The programs that take part: built here, installed here, or found on this machine; or why they are not here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import machine

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
DEBIAN = "on Debian, `apt-get install nginx-light wrk varnish openssl`"


class Tools:
    def __init__(self, args, folder):
        for program in ("nginx", "wrk", "openssl"):
            if not shutil.which(program):
                sys.exit(f"{program} is missing: {DEBIAN}")
        self.baseline = args.baseline
        self.larder, self.bare_hyper = args.larder, args.bare_hyper
        # One by one: an example has other features of the libraries, which larder would get as well.
        self.larder = self.larder or build("--bin", "larder")
        if not self.bare_hyper and "bare hyper" not in args.without:
            self.bare_hyper = build("--example", "bare_hyper")
        for binary in (self.larder, self.bare_hyper, self.baseline):
            if binary and not binary.is_file():
                sys.exit(f"there is no {binary}")
        self.no_python_tools = None
        self.programs = self._install()
        self.caddy = self.programs / "caddy"
        self.certificate = make_certificate(folder)

    def _install(self):
        """caddy, pip and uv, pinned, in an environment that stays in target/."""
        wanted = HERE / "requirements.txt"
        environment = REPOSITORY / "target" / "compare"
        finished = environment / "requirements.txt"
        if not finished.is_file() or finished.read_text() != wanted.read_text():
            try:
                machine.run([sys.executable, "-m", "venv", "--clear", environment])
                machine.run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", wanted])
                finished.write_text(wanted.read_text())
            except RuntimeError as error:
                self.no_python_tools = str(error)
        return environment / "bin"

    def why_not(self, name):
        """Why this server cannot take part, or None if it can."""
        if name == "Varnish" and not shutil.which("varnishd"):
            return f"varnishd is missing: {DEBIAN}"
        if name == "caddy" and self.no_python_tools:
            return self.no_python_tools
        if name == "larder before" and not self.baseline:
            return "no --baseline"
        return None

    def versions(self):
        lines = [machine.version("nginx", "-v"), machine.version("varnishd", "-V"), machine.version("wrk", "-v")]
        if not self.no_python_tools:
            lines += [f"caddy {machine.version(str(self.caddy), 'version')}", machine.version(str(self.programs / "uv"), "--version")]
        lines.append(machine.version(str(self.larder), "--version"))
        if self.baseline:
            lines.append(f"before: {machine.version(str(self.baseline), '--version')}")
        return "; ".join(line for line in lines if line)


def build(kind, name):
    """This program, as larder is published."""
    command = ["sh", ".ci/dist", kind, name, "--message-format=json-render-diagnostics"]
    output = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
    messages = map(json.loads, output.splitlines())
    built = {m["target"]["name"]: Path(m["executable"]) for m in messages if m.get("executable")}
    return built[name]


def make_certificate(folder):
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    machine.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-keyout", key, "-out", certificate])
    return certificate, key
