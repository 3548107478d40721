#!/usr/bin/env bash
# Five uploaders send five different forms for the very same wheel.
#
# Expected: the wheel's METADATA, field by field, under one set of names, as its JSON form has them (PEP 566: lower case, with `_`).
# Seen with a wheel of Metadata-Version 2.5: twine 7.0.0 sends another `name` than the wheel has (`De.mo-x` for `De.mo_x`); twine
# and poetry 2.5.1 change `keywords`; pdm 2.29.4 says `provides_extras` where the others say `provides_extra`; the import names of
# PEP 794 are `import_names` from uv 0.13.9 and poetry, `import_name` from hatch 1.18.2, and not there from twine and pdm, all
# under `metadata_version` 2.5.
# For a server: read the METADATA inside the file; the form tells which tool was used, not what was built.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python3 -m venv "$folder/pdm"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9 twine==7.0.0 packaging==26.4 poetry==2.5.1 hatch==1.18.2
"$folder/pdm/bin/pip" install --quiet --disable-pip-version-check pdm==2.29.4 hishel==1.4.0
cat >"$folder/try.py" <<'PY'
import email, email.policy, http.server, os, subprocess, sys, threading, zipfile

folder = sys.argv[1]
os.mkdir(folder + "/dist")
name, info = "dist/de_mo_x-1.0-py3-none-any.whl", "de_mo_x-1.0.dist-info"
with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
    wheel.writestr(info + "/METADATA", "Metadata-Version: 2.5\nName: De.mo_x\nVersion: 1.0\nSummary: A demonstration\nKeywords: one,two\n"
        "Provides-Extra: more\nImport-Name: demo\nImport-Namespace: spaces\n")
    wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "/RECORD", info + "/METADATA,,\n")
with open(folder + "/pyproject.toml", "w") as project:
    project.write('[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "De.mo_x"\nversion = "1.0"\ndescription = "A demonstration"\n')
form = {}

class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            for part in email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts():
                field = part.get_param("name", header="content-disposition")
                if field != "content": form.setdefault(field, []).append(part.get_payload(decode=True).decode())
        self.send_response(200 if self.command == "POST" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST = answer

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/upload"
environment = {"PATH": folder + "/venv/bin:" + os.environ["PATH"], "HOME": folder, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": folder + "/cache",
    "POETRY_REPOSITORIES_X_URL": url, "POETRY_KEYRING_ENABLED": "false", "PDM_CHECK_UPDATE": "0"}
tools = {
    "twine": ["venv", "upload", "--non-interactive", "--repository-url", url, "-u", "u", "-p", "p", name],
    "uv": ["venv", "publish", "--publish-url", url, "--username", "u", "--password", "p", name],
    "poetry": ["venv", "publish", "--no-interaction", "-r", "x", "-u", "u", "-p", "p"],
    "hatch": ["venv", "publish", "--no-prompt", "-r", url, "-u", "u", "-a", "p", name],
    "pdm": ["pdm", "publish", "--no-build", "-r", url, "-u", "u", "-P", "p"],
}
fields = ["metadata_version", "name", "keywords", "provides_extra", "provides_extras", "import_name", "import_names"]
seen = {}
for tool, (place, *rest) in tools.items():
    form.clear()
    subprocess.run([f"{folder}/{place}/bin/{tool}", *rest], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
    seen[tool] = [",".join(form.get(field, ["-"])) for field in fields]
print("expected: one row for all; seen:")
for tool, row in {"": fields, **seen}.items(): print(f"{tool:7}", *(f"{value:16}" for value in row))
sys.exit(0 if seen == {
    "twine": ["2.5", "De.mo-x", "one, two", "more", "-", "-", "-"],
    "uv": ["2.5", "De.mo_x", "one,two", "more", "-", "-", "demo"],
    "poetry": ["2.5", "De.mo_x", "one, two", "more", "-", "-", "demo"],
    "hatch": ["2.5", "De.mo_x", "one,two", "more", "-", "demo", "-"],
    "pdm": ["2.5", "De.mo_x", "one,two", "-", "more", "-", "-"],
} else "this has changed")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
