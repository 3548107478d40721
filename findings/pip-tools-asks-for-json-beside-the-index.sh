#!/usr/bin/env bash
# `pip-compile --generate-hashes` asks an address that no specification knows, at every index.
#
# Expected: hashes from the simple page, which has them as fragments.
# Seen with pip-tools 7.6.2: first `NAME/json` beside the index, where `simple/` is cut off its address, for each package;
# on 404 the fragments are taken after all. At GitLab that is `…/packages/pypi/NAME/json`, which is no route of its.
# For a server: answer 404 at once there, and forward nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip-tools==7.6.2
cat >"$folder/try.py" <<'PY'
import hashlib, http.server, io, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")
body, name, seen = archive.getvalue(), "demo-1.0-py3-none-any.whl", []

class Index(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        seen.append(self.path)
        page = f'<a href="/files/{name}#sha256={hashlib.sha256(body).hexdigest()}">{name}</a>'.encode()
        found = {"/api/packages/pypi/simple/demo/": page, "/files/" + name: body}.get(self.path)
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(found or b"")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
open(folder + "/requirements.in", "w").write("demo\n")
environment = {"PATH": os.environ["PATH"], "HOME": folder, "PIP_CONFIG_FILE": "/dev/null"}
subprocess.run([folder + "/venv/bin/pip-compile", "--quiet", "--generate-hashes", "--index-url",
    f"http://127.0.0.1:{server.server_port}/api/packages/pypi/simple/", "--output-file", folder + "/locked.txt",
    folder + "/requirements.in"], env=environment, check=True, cwd=folder)
locked = open(folder + "/locked.txt").read()
print("pip-tools 7.6.2, pip-compile --generate-hashes at an index that has hashes")
print("expected: pages and files alone; seen:", seen)
odd = [path for path in seen if path.endswith("/json")]
sys.exit(0 if odd == ["/api/packages/pypi/demo/json"] and "sha256:" in locked else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
