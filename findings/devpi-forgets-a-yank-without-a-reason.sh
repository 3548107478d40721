#!/usr/bin/env bash
# Behind a devpi-server mirror pip installs a file that was yanked without a reason.
#
# Expected: "Mirrors MUST NOT mirror a yanked file without also mirroring the data-yanked attribute for it" (PEP 592); in JSON
# `yanked` is a boolean or a string that is not empty (PEP 691).
# Seen with devpi-server 6.20.3 in front of an HTML index: `data-yanked=""` becomes `"yanked": ""` in its JSON, which uv 0.13.9
# takes for yanked and pip 26.3 for not; its HTML is right. Bare `data-yanked` is lost in both. So one mirror holds a file back
# from a client that asks for HTML and gives it to one that asks for JSON.
# For a server: give a reason with each yank. For a proxy: an empty reason is `true` in JSON.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check devpi-server==6.20.3 pip==26.3
cat >"$folder/try.py" <<'PY'
import base64, http.server, io, json, os, re, socket, subprocess, sys, threading, time, urllib.request, zipfile

folder = sys.argv[1]
def wheel(version):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr(f"demo-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n")
        wheel.writestr(f"demo-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"demo-{version}.dist-info/RECORD", f"demo-{version}.dist-info/METADATA,,\n")
    return archive.getvalue()
wheels = {f"demo-{version}-py3-none-any.whl": wheel(version) for version in ["1.0", "2.0"]}
bodies = {"/" + name: body for name, body in wheels.items()}
bodies["/simple/"] = b'<a href="demo/">demo</a>'
bodies["/simple/demo/"] = "".join(f'<a href="/{name}"{" data-yanked=" + chr(34) * 2 if "2.0" in name else ""}>{name}</a>\n' for name in wheels).encode()

class Index(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        body = bodies.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
        self.end_headers()
        self.wfile.write(body or b"")

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
environment = {"PATH": os.environ["PATH"], "HOME": folder, "PIP_CONFIG_FILE": "/dev/null"}
log = open(folder + "/log", "w")
def pip(index):
    done = subprocess.run([folder + "/venv/bin/pip", "install", "--dry-run", "--no-cache-dir", "--ignore-installed", "--index-url", index, "demo"],
        env=environment, capture_output=True, text=True)
    return (re.findall(r"Would install (.*)", done.stdout) or [done.stderr])[0]
subprocess.run([folder + "/venv/bin/devpi-init", "--serverdir", folder + "/server", "--no-root-pypi", "--root-passwd", "x"],
    env=environment, stdout=log, stderr=log, check=True)
process = subprocess.Popen([folder + "/venv/bin/devpi-server", "--serverdir", folder + "/server", "--port", str(port)],
    env=environment, stdout=log, stderr=log)
def ask(method, path, data=None, headers={}):
    body = None if data is None else json.dumps(data).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer: return answer.read().decode()
try:
    for _ in range(300):
        try:
            ask("GET", "/+api")
            break
        except OSError: time.sleep(0.2)
    token = json.loads(ask("POST", "/+login", {"user": "root", "password": "x"}))["result"]["password"]
    key = {"X-Devpi-Auth": base64.b64encode(f"root:{token}".encode()).decode()}
    def mirror(name):
        ask("PUT", "/root/" + name, {"type": "mirror", "mirror_url": f"http://127.0.0.1:{server.server_port}/simple/"}, key)
        page = f"/root/{name}/+simple/demo/"
        listed = json.loads(ask("GET", page, None, {"Accept": "application/vnd.pypi.simple.v1+json"}))["files"]
        told = [file.get("yanked") for file in listed if "2.0" in file["filename"]]
        return told, "data-yanked" in ask("GET", page, None, {"Accept": "text/html"}), pip(f"http://127.0.0.1:{port}/root/{name}/+simple/")
    direct = pip(f"http://127.0.0.1:{server.server_port}/simple/")
    empty = mirror("first")
    bodies["/simple/demo/"] = bodies["/simple/demo/"].replace(b'data-yanked=""', b"data-yanked")
    bare = mirror("second")
finally:
    process.kill()
print("demo 2.0 is yanked without a reason; pip, without a mirror:", direct)
print('expected of devpi-server 6.20.3: "yanked": true, data-yanked, and pip the same')
print('seen for data-yanked="" in JSON, in HTML, and by pip:', empty)
print("seen for the bare attribute in JSON, in HTML, and by pip:", bare)
wrong = empty == ([""], True, "demo-2.0") and bare == ([None], False, "demo-2.0")
sys.exit(0 if direct == "demo-1.0" and wrong else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
