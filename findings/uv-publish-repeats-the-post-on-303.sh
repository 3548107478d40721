#!/usr/bin/env bash
# `uv publish` sends the file again when it is answered 303 See Other.
#
# Expected: a GET of the other address (RFC 9110, section 15.4.4), or a refusal to follow, as twine has it.
# Seen with uv 0.13.9: the POST is repeated, file and all, at the new address of the same origin.
# For a server: an upload that was taken and is answered with 303 is uploaded twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
cat >"$folder/try.py" <<'PY'
import http.server, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
name = folder + "/demo-1.0-py3-none-any.whl"
with zipfile.ZipFile(name, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")
seen = []

class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        seen.append((self.command, self.path, b"demo-1.0-py3-none-any.whl" in body))
        self.send_response(303 if self.path == "/upload" else 200)
        if self.path == "/upload": self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/done")
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST = answer

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1"}
done = subprocess.run([folder + "/venv/bin/uv", "publish", "--publish-url", f"http://127.0.0.1:{server.server_port}/upload",
    "--username", "u", "--password", "p", name], env=environment, capture_output=True, text=True)
print("uv 0.13.9 publish, answered 303 with a Location")
print("expected: GET /done or an error; seen:", seen, "exit code", done.returncode)
posts = [path for method, path, has_file in seen if method == "POST" and has_file]
sys.exit(0 if posts == ["/upload", "/done"] else f"this has changed: {done.stderr}")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
