#!/usr/bin/env bash
# devpi-server labels its page `text_html` for a client whose Accept it does not know.
#
# Expected: `text/html`, or 406 (PEP 691, "Version + Format Selection").
# Seen with devpi-server 6.20.3: an Accept that names none of its types gets the HTML page with `Content-Type: text_html`,
# which pip skips and uv refuses.
# For a proxy in front: name text/html in Accept, always.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check devpi-server==6.20.3
cat >"$folder/try.py" <<'PY'
import base64, json, os, socket, subprocess, sys, time, urllib.error, urllib.request

folder = sys.argv[1]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
environment = {"PATH": os.environ["PATH"], "HOME": folder}
log = open(folder + "/log", "w")
subprocess.run([folder + "/venv/bin/devpi-init", "--serverdir", folder + "/server", "--no-root-pypi", "--root-passwd", "x"],
    env=environment, stdout=log, stderr=log, check=True)
process = subprocess.Popen([folder + "/venv/bin/devpi-server", "--serverdir", folder + "/server", "--port", str(port)],
    env=environment, stdout=log, stderr=log)
def ask(method, path, data=None, headers={}):
    body = None if data is None else json.dumps(data).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer: return answer.headers, answer.read()
try:
    for _ in range(300):
        try:
            ask("GET", "/+api")
            break
        except OSError: time.sleep(0.2)
    token = json.loads(ask("POST", "/+login", {"user": "root", "password": "x"})[1])["result"]["password"]
    key = {"X-Devpi-Auth": base64.b64encode(f"root:{token}".encode()).decode()}
    ask("PUT", "/team", {"password": "x"}, key)
    ask("PUT", "/team/dev", {"type": "stage", "bases": []}, key)
    seen = {accept: ask("GET", "/team/dev/+simple/", None, {"Accept": accept})[0]["Content-Type"]
        for accept in ["text/html", "*/*", "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v2+json"]}
finally:
    process.kill()
print("devpi-server 6.20.3, Content-Type of /team/dev/+simple/ by Accept")
print("expected: text/html or 406 for the last; seen:", seen)
sys.exit(0 if seen["application/vnd.pypi.simple.v2+json"].startswith("text_html") else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
