#!/usr/bin/env bash
# `uv publish --check-url` uploads a file that is there, when the index wants a credential.
#
# Expected: the credential given for the upload, or an error, when the check URL of the same origin answers 401.
# Seen with uv 0.13.9: the page is asked for without a credential, its 401 counts as "not there", and the upload follows.
# For a registry that refuses duplicates, the run fails although nothing was to do. A user name in the check URL helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
cat >"$folder/try.py" <<'PY'
import hashlib, http.server, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
name = folder + "/demo-1.0-py3-none-any.whl"
with zipfile.ZipFile(name, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")
digest = hashlib.sha256(open(name, "rb").read()).hexdigest()
seen = []

class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = "Authorization" in self.headers
        status = 400 if self.command == "POST" else 200 if known else 401
        seen.append((self.command, "with" if known else "without", status))
        page = f'<a href="/demo-1.0-py3-none-any.whl#sha256={digest}">demo-1.0-py3-none-any.whl</a>'.encode()
        body = page if status == 200 else b""
        self.send_response(status)
        if status == 401: self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
origin = f"http://127.0.0.1:{server.server_port}"
def publish(check):
    seen.clear()
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": folder + "/cache"}
    done = subprocess.run([folder + "/venv/bin/uv", "publish", "--publish-url", origin + "/upload", "--check-url", check,
        "--username", "u", "--password", "p", name], env=environment, capture_output=True, text=True)
    return done.returncode, list(seen)
plain = publish(origin + "/simple/")
named = publish(origin.replace("//", "//u:p@") + "/simple/")
print("uv 0.13.9 publish --check-url, the very file is on the page, the page wants a credential")
print("expected: skipped, exit code 0; seen:", plain)
print("with the credential in the check URL:", named)
uploaded = lambda result: any(method == "POST" for method, _, _ in result[1])
sys.exit(0 if uploaded(plain) and plain[0] != 0 and not uploaded(named) and named[0] == 0 else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
