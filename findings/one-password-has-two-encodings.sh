#!/usr/bin/env bash
# One password reaches the server as different bytes from pip and from uv.
#
# Expected: UTF-8 from all, since the server asks for it with `charset="UTF-8"` in its challenge (RFC 7617 §2.1).
# Seen with `%C3%BC` in the index URL, or `ü` as an option of an upload: pip 26.3, poetry 2.5.1 and twine 7.0.0 send Latin-1, and
# uv 0.13.9 and unearth 0.19.0 send UTF-8. For `€`, which Latin-1 does not have, the first three end in a UnicodeEncodeError
# before they send it. So a password works for uv and not for pip, or the other way round.
# For a server: try both readings of such a password, or give out ASCII ones. For a proxy: pass the bytes on, decode nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip==26.3 uv==0.13.9 unearth==0.19.0 twine==7.0.0 poetry==2.5.1 requests==2.34.2
cat >"$folder/try.py" <<'PY'
import base64, http.server, os, subprocess, sys, threading, urllib.parse, zipfile

folder = sys.argv[1]
name = folder + "/demo-1.0-py3-none-any.whl"
with zipfile.ZipFile(name, "w") as wheel:
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "demo-1.0.dist-info/METADATA,,\n")
passwords = []

class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if given: passwords.append(base64.b64decode(given).partition(b":")[2])
        self.send_response(401 if not given else 200 if self.command == "POST" else 404)
        if not given: self.send_header("WWW-Authenticate", 'Basic realm="x", charset="UTF-8"')
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST = do_HEAD = answer

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
host = f"127.0.0.1:{server.server_port}"
program = folder + "/venv/bin/"
unearth = "import sys, unearth; unearth.PackageFinder(index_urls=[sys.argv[1]]).find_best_match('demo')"
def sent(password):
    index = f"http://user:{urllib.parse.quote(password)}@{host}/simple/"
    with open(folder + "/pyproject.toml", "w") as project:
        project.write('[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["demo"]\n[tool.poetry]\npackage-mode = false\n'
            f'[[tool.poetry.source]]\nname = "x"\nurl = "{index}"\npriority = "primary"\n')
    upload = [f"http://{host}/upload", "-u", "user", "-p", password, name]
    tools = {
        "pip": ["pip", "download", "--no-input", "--no-cache-dir", "--index-url", index, "demo"],
        "poetry": ["poetry", "lock", "--no-interaction"],
        "twine": ["twine", "upload", "--non-interactive", "--repository-url", *upload],
        "uv": ["uv", "pip", "compile", "--no-config", "--python", program + "python", "--default-index", index, "-"],
        "uv publish": ["uv", "publish", "--no-config", "--publish-url", *upload],
        "unearth": ["python", "-c", unearth, index],
    }
    environment = {"PATH": program + ":" + os.environ["PATH"], "HOME": folder, "UV_CACHE_DIR": folder + "/cache", "PIP_CONFIG_FILE": "/dev/null",
        "LC_ALL": "C.UTF-8", "POETRY_KEYRING_ENABLED": "false", "POETRY_VIRTUALENVS_CREATE": "false"}
    result = {}
    for tool, command in tools.items():
        passwords.clear()
        done = subprocess.run([program + command[0], *command[1:]], cwd=folder, env=environment, input="demo", capture_output=True, text=True)
        told = done.stdout + done.stderr
        result[tool] = sorted(set(passwords)) or ("cannot encode" if "codec can't encode character" in told else told)
    return result
umlaut, euro = sent("ü"), sent("€")
print('expected: UTF-8, as the challenge says, b"\\xc3\\xbc" and b"\\xe2\\x82\\xac"')
print("seen for ü:", umlaut)
print("seen for €:", euro)
old, new = ["pip", "poetry", "twine"], ["uv", "uv publish", "unearth"]
right = all(umlaut[t] == [b"\xfc"] and euro[t] == "cannot encode" for t in old)
right = right and all(umlaut[t] == ["ü".encode()] and euro[t] == ["€".encode()] for t in new)
sys.exit(0 if right else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
