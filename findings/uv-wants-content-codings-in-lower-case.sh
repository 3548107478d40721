#!/usr/bin/env bash
# uv finds no versions on a page whose `Content-Encoding` is `GZIP` or `x-gzip`.
#
# Expected: the page. Names of content codings are case-insensitive (RFC 9110 §8.4.1), and `x-gzip` means the same as `gzip`
# (§8.4.1.3); or an error, for a coding that is not known.
# Seen with uv 0.13.9: it takes the compressed bytes for HTML without links, and the answer is "there are no versions". pip 26.3
# reads both; unearth 0.19.0 reads `GZIP` and ends in a UnicodeDecodeError with `x-gzip`.
# For a server: `gzip`, exactly. For a proxy: accept all three from upstream, and write the first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9 unearth==0.19.0 httpx2==2.16.2
cat >"$folder/try.py" <<'PY'
import gzip, http.server, io, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
name = "demo-1.0-py3-none-any.whl"
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")

class Index(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    coding = ""
    def log_message(self, *_): pass
    def do_GET(self):
        is_page = self.path == "/simple/demo/"
        body = gzip.compress(f'<a href="/f/{name}">{name}</a>'.encode()) if is_page else archive.getvalue() if self.path == "/f/" + name else None
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html" if is_page else "application/octet-stream")
        if is_page: self.send_header("Content-Encoding", Index.coding)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET": self.wfile.write(body or b"")
    do_HEAD = do_GET

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
index = f"http://127.0.0.1:{server.server_port}/simple/"
environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": folder + "/cache", "PIP_CONFIG_FILE": "/dev/null"}
program = folder + "/venv/bin/"
unearth = "import sys, unearth; print(unearth.PackageFinder(index_urls=[sys.argv[1]]).find_best_match('demo').best.link)"
tools = {
    "pip": ["pip", "download", "--no-cache-dir", "--dest", folder + "/files", "--index-url", index, "demo"],
    "uv": ["uv", "pip", "install", "--reinstall", "--target", folder + "/out", "--python", program + "python", "--default-index", index, "demo"],
    "unearth": ["python", "-c", unearth, index],
}
def told(tool):
    done = subprocess.run([program + tools[tool][0], *tools[tool][1:]], env=environment, capture_output=True, text=True)
    if done.returncode == 0: return "demo 1.0"
    return next((reason for reason in ["no versions of demo", "UnicodeDecodeError"] if reason in done.stderr), done.stderr)
seen = {}
for Index.coding in ["gzip", "GZIP", "x-gzip"]: seen[Index.coding] = {tool: told(tool) for tool in tools}
print("expected: demo 1.0 of all; seen:")
for coding, row in seen.items(): print(f"{coding:6}", row)
right = {"pip": "demo 1.0", "uv": "demo 1.0", "unearth": "demo 1.0"}
sys.exit(0 if seen == {"gzip": right, "GZIP": {**right, "uv": "no versions of demo"},
    "x-gzip": {**right, "uv": "no versions of demo", "unearth": "UnicodeDecodeError"}} else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
