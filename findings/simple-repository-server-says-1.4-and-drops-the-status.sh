#!/usr/bin/env bash
# simple-repository-server repeats the api-version 1.4 of its source, but not what that version brought.
#
# Expected: `project-status` passed on, or an api-version that does not have it. From 1.4 on a project without a status is an
# active one (PEP 792), so that leaving it out of such a page is a statement.
# Seen with simple-repository-server 0.10.0 (simple-repository 0.11.1): a quarantined project leaves with api-version 1.4 and no
# status, in JSON and HTML; `provenance` (1.3) is gone, and `upload-time` loses its fraction of a second.
# For a client or a proxy behind it: the version does not tell what a mirror has kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check simple-repository-server==0.10.0 simple-repository==0.11.1
cat >"$folder/try.py" <<'PY'
import http.server, json, os, socket, subprocess, sys, threading, time, urllib.error, urllib.request

folder = sys.argv[1]
name = "demo-1.0-py3-none-any.whl"
source = {"meta": {"api-version": "1.4"}, "name": "demo", "versions": ["1.0"],
    "project-status": {"status": "quarantined", "reason": "under review"},
    "files": [{"filename": name, "url": "/" + name, "hashes": {"sha256": "0" * 64}, "size": 1000, "core-metadata": False,
        "upload-time": "2026-01-01T00:00:00.900000Z", "provenance": f"https://index.example/{name}.provenance"}]}
json_type = "application/vnd.pypi.simple.v1+json"

class Index(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200 if self.path == "/simple/demo/" else 404)
        self.send_header("Content-Type", json_type)
        self.end_headers()
        if self.path == "/simple/demo/": self.wfile.write(json.dumps(source).encode())

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
log = open(folder + "/log", "w")
process = subprocess.Popen([folder + "/venv/bin/simple-repository-server", "--host", "127.0.0.1", "--port", str(port),
    f"http://127.0.0.1:{server.server_port}/simple/"], stdout=log, stderr=log, env={"PATH": os.environ["PATH"], "HOME": folder})
def ask(accept):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/simple/demo/", headers={"Accept": accept})
    for _ in range(300):
        try:
            with urllib.request.urlopen(request, timeout=20) as answer: return answer.read().decode()
        except urllib.error.HTTPError as error: return str(error)
        except OSError: time.sleep(0.2)
try:
    page, html = json.loads(ask(json_type)), ask("text/html")
finally:
    process.kill()
file = page["files"][0]
told = {"api-version": page["meta"]["api-version"], "project-status": page.get("project-status"),
    "provenance": file.get("provenance"), "upload-time": file.get("upload-time"),
    "HTML says 1.4": 'content="1.4"' in html, "HTML says quarantined": "quarantined" in html}
print("simple-repository-server 0.10.0 in front of a quarantined project, api-version 1.4, uploaded at ….900000Z")
print("expected: the status, or a version without it; seen:", told)
lost = {"api-version": "1.4", "project-status": None, "provenance": None, "upload-time": "2026-01-01T00:00:00Z",
    "HTML says 1.4": True, "HTML says quarantined": False}
sys.exit(0 if told == lost else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
