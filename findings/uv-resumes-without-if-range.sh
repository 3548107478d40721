#!/usr/bin/env bash
# uv resumes a download that broke off by `Range` alone.
#
# Expected: the range carries `If-Range` with the ETag of the first part (RFC 9110, section 13.1.5; pip sends it), so that a
# file that changed in between comes whole and is not spliced.
# Seen with uv 0.13.9: several whole GETs, then `Range: bytes=N-` and no `If-Range`.
# For a server: what lies at a URL must never change, whatever the ETag says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
cat >"$folder/try.py" <<'PY'
import hashlib, http.server, io, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
metadata = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as wheel:
    wheel.writestr("demo/__init__.py", "#" * 200_000)
    wheel.writestr("demo-1.0.dist-info/METADATA", metadata)
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo/__init__.py,,\ndemo-1.0.dist-info/METADATA,,\ndemo-1.0.dist-info/WHEEL,,\ndemo-1.0.dist-info/RECORD,,\n")
body = archive.getvalue()
name = "demo-1.0-py3-none-any.whl"
seen = []

class Index(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_HEAD(self): self.send_error(405)
    def do_GET(self):
        if self.path.endswith("/demo/"):
            page = f'<a href="/{name}#sha256={hashlib.sha256(body).hexdigest()}" data-core-metadata="true">{name}</a>'.encode()
        if self.path.endswith(".metadata"):
            page = metadata
        if not self.path.endswith(".whl"):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            return self.wfile.write(page)
        asked = self.headers.get("Range")
        seen.append((asked, self.headers.get("If-Range")))
        start = int(asked[6:].split("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"first"')
        if asked: self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(body[start:] if asked else body[:100_000])
        self.close_connection = True

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1"}
subprocess.run([folder + "/venv/bin/uv", "pip", "install", "--quiet", "--target", folder + "/site", "--default-index",
    f"http://127.0.0.1:{server.server_port}/simple/", "--python", folder + "/venv/bin/python", "demo"], env=environment, check=True)
resumed = [pair for pair in seen if pair[0]]
whole = len(seen) - len(resumed)
print("uv 0.13.9, a download that breaks off after 100,000 bytes each time")
print("expected: Range with If-Range; seen:", whole, "whole requests, then", resumed)
sys.exit(0 if resumed and all(condition is None for _, condition in resumed) else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
