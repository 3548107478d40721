#!/usr/bin/env bash
# simple-repository-server promises a metadata file for every wheel, before it has seen one of them.
#
# Expected: `core-metadata` only where the file is known to exist, with its sha256 (PEP 658: "the repository SHOULD" give the
# hash; PEP 714).
# Seen with simple-repository-server 0.10.0 in front of an index without metadata: `core-metadata: true` for each wheel, without
# a digest, although neither the wheel nor its metadata was asked for by then.
# For a client or a proxy: such a promise is no proof that the file can be had, and its failure stops pip and uv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check simple-repository-server==0.10.0
cat >"$folder/try.py" <<'PY'
import http.server, io, json, os, socket, subprocess, sys, threading, time, urllib.error, urllib.request, zipfile

folder = sys.argv[1]
name = "demo-1.0-py3-none-any.whl"
archive, seen = io.BytesIO(), []
with zipfile.ZipFile(archive, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")

class Index(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        pages = {"/simple/": b'<a href="demo/">demo</a>', "/simple/demo/": f'<a href="/{name}">{name}</a>'.encode(), "/" + name: archive.getvalue()}
        seen.append(self.path)
        found = pages.get(self.path)
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(found or b"")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
log = open(folder + "/log", "w")
process = subprocess.Popen([folder + "/venv/bin/simple-repository-server", "--host", "127.0.0.1", "--port", str(port),
    f"http://127.0.0.1:{server.server_port}/simple/"], stdout=log, stderr=log, env={"PATH": os.environ["PATH"], "HOME": folder})
def ask(path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer: return answer.status, answer.read()
    except urllib.error.HTTPError as error: return error.code, b""
    except OSError: return 0, b""
try:
    for _ in range(300):
        status, body = ask("/simple/demo/")
        if status: break
        time.sleep(0.2)
    promised = json.loads(body)["files"][0].get("core-metadata")
    asked = [path for path in seen if name in path]
finally:
    process.kill()
print("simple-repository-server 0.10.0 in front of an index that offers no metadata")
print("expected: no core-metadata; seen: core-metadata", promised, "after it asked the index for", seen)
sys.exit(0 if promised is True and not asked else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
