#!/usr/bin/env bash
# Three valid ways to write a link make pip, uv or both fail.
#
# Expected: demo 1.0 from each page. HTML strips white space around the URL in `href`, and lets `<base href>` be relative to the
# page (HTML, "Links", "The base element"); a query may hold `/` as it is (RFC 3986 §3.4).
# Seen with pip 26.3 and uv 0.13.9: a blank around the URL is a part of the digest, pip's hash check fails, and uv refuses the
# whole page; a relative base ends both (`No connection adapters`, `relative URL without a base`); for uv what follows a `/` in the
# query of a signed address is the file's name, so that the file is not there (in JSON, which names the file, it is).
# pypi-simple 1.8.0 reads the second and third.
# For a server: no blanks, no base, no query. For a proxy: write each link anew, as an absolute path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9
cat >"$folder/try.py" <<'PY'
import hashlib, http.server, io, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
name = "demo-1.0-py3-none-any.whl"
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")
digest = "#sha256=" + hashlib.sha256(archive.getvalue()).hexdigest()
forms = {
    "plain": f'<a href="/f/{name}{digest}">{name}</a>',
    "blanks": f'<a href=" /f/{name}{digest} ">{name}</a>',
    "base": f'<base href="/f/"><a href="{name}{digest}">{name}</a>',
    "query": f'<a href="/f/{name}?sign=a/b{digest}">{name}</a>',
}

class Index(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    form = ""
    def log_message(self, *_): pass
    def do_GET(self):
        page = f"<!DOCTYPE html><html><head><title>demo</title>{forms[Index.form]}</html>".encode()
        body = page if self.path == "/simple/demo/" else archive.getvalue() if self.path.split("?")[0] == "/f/" + name else None
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html" if body == page else "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET": self.wfile.write(body or b"")
    do_HEAD = do_GET

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
index = f"http://127.0.0.1:{server.server_port}/simple/"
environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": folder + "/cache", "PIP_CONFIG_FILE": "/dev/null"}
program = folder + "/venv/bin/"
tools = {
    "pip": ["pip", "download", "--no-cache-dir", "--dest", folder + "/files", "--index-url", index, "demo"],
    "uv": ["uv", "pip", "install", "--reinstall", "--target", folder + "/out", "--python", program + "python", "--default-index", index, "demo"],
}
def told(tool):
    done = subprocess.run([program + tools[tool][0], *tools[tool][1:]], env=environment, capture_output=True, text=True)
    if done.returncode == 0: return "demo 1.0"
    reasons = ["DO NOT MATCH THE HASHES", "No connection adapters", "Invalid hash digest length", "relative URL without a base", "no versions of demo"]
    return next((reason for reason in reasons if reason in done.stderr), done.stderr)
seen = {}
for Index.form in forms: seen[Index.form] = {tool: told(tool) for tool in tools}
print("expected: demo 1.0 of all; seen:")
for form, row in seen.items(): print(f"{form:7}", row)
sys.exit(0 if seen == {
    "plain": {"pip": "demo 1.0", "uv": "demo 1.0"},
    "blanks": {"pip": "DO NOT MATCH THE HASHES", "uv": "Invalid hash digest length"},
    "base": {"pip": "No connection adapters", "uv": "relative URL without a base"},
    "query": {"pip": "demo 1.0", "uv": "no versions of demo"},
} else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
