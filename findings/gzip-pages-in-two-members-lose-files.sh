#!/usr/bin/env bash
# A page that comes as two gzip members loses its second half in uv, unearth and simple-repository-server, without a word.
#
# Expected: the whole page. "A gzip file consists of a series of members" (RFC 1952 §2.2), and the content coding `gzip` is that
# format (RFC 9110 §8.4.1.3). A server that compresses a page in parts, or keeps it compressed in parts, sends such bodies.
# Seen with uv 0.13.9, unearth 0.19.0 (httpx2 2.16.2) and simple-repository-server 0.10.0 (httpx 0.28.1): the files of the first
# member alone, as though the newer version did not exist; the mirror hands the short page on. pip 26.3 reads it all.
# For a server: one member for each body. For a proxy: read all members, whatever its HTTP library does by itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9 unearth==0.19.0 httpx2==2.16.2 \
    simple-repository-server==0.10.0 simple-repository==0.11.1 httpx==0.28.1
cat >"$folder/try.py" <<'PY'
import gzip, http.server, os, re, socket, subprocess, sys, threading, time, urllib.error, urllib.request

folder = sys.argv[1]
link = lambda version: f'<a href="/f/demo-{version}-py3-none-any.whl">demo-{version}-py3-none-any.whl</a>\n'.encode()
halves = [b"<!DOCTYPE html><body>" + link("1.0"), link("2.0") + b"</body>"]

class Index(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        body = b"".join(map(gzip.compress, halves)) if self.path == "/simple/demo/" else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        if body: self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_HEAD = do_GET

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
index = f"http://127.0.0.1:{server.server_port}/simple/"
environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": folder + "/cache", "PIP_CONFIG_FILE": "/dev/null"}
program = folder + "/venv/bin/"
def versions(*command):
    done = subprocess.run([program + command[0], *command[1:]], env=environment, capture_output=True, text=True)
    return sorted(set(re.findall(r"(?<=[-= (])[12]\.0(?![.\d])", done.stdout + done.stderr)))
unearth = "import sys, unearth; print([m.link.filename for m in unearth.PackageFinder(index_urls=[sys.argv[1]]).find_matches('demo')])"
seen = {
    "pip": versions("pip", "index", "versions", "demo", "--no-cache-dir", "--index-url", index),
    "uv": [version for version in ["1.0", "2.0"] if f"of demo=={version}" not in subprocess.run([program + "uv", "pip", "compile", "-", "--no-deps",
        "--python", program + "python", "--default-index", index], input=f"demo=={version}", env=environment, capture_output=True, text=True).stderr],
    "unearth": versions("python", "-c", unearth, index),
}
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
log = open(folder + "/log", "w")
mirror = subprocess.Popen([program + "simple-repository-server", "--host", "127.0.0.1", "--port", str(port), index],
    env=environment, stdout=log, stderr=log)
try:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/simple/demo/", timeout=20) as answer: page = answer.read().decode()
            break
        except urllib.error.HTTPError as error: page = str(error); break
        except OSError: time.sleep(0.2)
finally:
    mirror.kill()
seen["simple-repository-server"] = sorted(set(re.findall(r">demo-([\d.]+)-py3", page)))
print("a page with demo 1.0 and demo 2.0, in two gzip members")
print("expected: both versions; seen:", seen)
rest = [seen.pop("pip")] + list(seen.values())
sys.exit(0 if rest == [["1.0", "2.0"], ["1.0"], ["1.0"], ["1.0"]] else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
