#!/usr/bin/env bash
# pip installs a yanked file when its `data-yanked` has no value.
#
# Expected: the older version that is not yanked. The attribute "may have no value", and its presence is what
# counts; a yanked file must not be taken while another satisfies the request (PEP 592).
# Seen with pip 26.3 and unearth 0.19.0: `data-yanked` alone is as if it were not there, and the yanked version is installed
# without a warning; `data-yanked=""`, which is the same attribute in HTML, is obeyed. uv 0.13.9 and pypi-simple 1.8.0 obey both.
# For a server: write `data-yanked=""`, never the bare name. For a proxy that changes pages: no HTML minifier.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9 unearth==0.19.0 pypi-simple==1.8.0
cat >"$folder/try.py" <<'PY'
import http.server, io, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
def wheel(version):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr(f"demo-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n")
        wheel.writestr(f"demo-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"demo-{version}.dist-info/RECORD", f"demo-{version}.dist-info/METADATA,,\n")
    return archive.getvalue()
wheels = {f"demo-{version}-py3-none-any.whl": wheel(version) for version in ["1.0", "2.0"]}

class Index(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    yanked = ""
    def log_message(self, *_): pass
    def do_GET(self):
        body = wheels.get(self.path.rpartition("/")[2])
        if self.path == "/simple/demo/":
            body = "".join(f'<a href="/f/{name}" {Index.yanked if "2.0" in name else ""}>{name}</a>\n' for name in wheels).encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET": self.wfile.write(body or b"")
    do_HEAD = do_GET

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
index = f"http://127.0.0.1:{server.server_port}/simple/"
environment = {"PATH": os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": folder + "/cache", "PIP_CONFIG_FILE": "/dev/null"}
program = folder + "/venv/bin/"
unearth = "import sys, unearth; print('demo', unearth.PackageFinder(index_urls=[sys.argv[1]]).find_best_match('demo').best.version)"
simple = "import sys, pypi_simple; print(*['demo ' + p.version for p in pypi_simple.PyPISimple(sys.argv[1]).get_project_page('demo').packages if not p.is_yanked])"
tools = {
    "pip": ["pip", "install", "--dry-run", "--no-cache-dir", "--ignore-installed", "--index-url", index, "demo"],
    "unearth": ["python", "-c", unearth, index],
    "uv": ["uv", "pip", "install", "--dry-run", "--refresh", "--python", program + "python", "--default-index", index, "demo"],
    "pypi-simple": ["python", "-c", simple, index],
}
def chosen(form):
    Index.yanked = form
    picked = {}
    for tool, command in tools.items():
        done = subprocess.run([program + command[0], *command[1:]], env=environment, capture_output=True, text=True)
        last = (done.stdout + done.stderr).strip().splitlines()[-1]
        picked[tool] = "2.0" if "2.0" in last else "1.0" if "1.0" in last else last
    return picked
empty, bare = chosen('data-yanked=""'), chosen("data-yanked")
print('demo 2.0 is yanked by data-yanked="", chosen:', empty)
print("expected: the same for the bare attribute; seen:", bare)
sys.exit(0 if set(empty.values()) == {"1.0"} and bare == {"pip": "2.0", "unearth": "2.0", "uv": "1.0", "pypi-simple": "1.0"} else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
