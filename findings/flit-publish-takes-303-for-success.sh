#!/usr/bin/env bash
# `flit publish` says that a package was published when the registry sent it to a log-in page.
#
# Expected: an upload that is answered with a redirect is an error, as twine has it.
# Seen with flit 4.2.0: 302 and 303 are followed as GET, and the 200 of whatever lies there ends the run with exit code 0; the
# file was posted to nobody but the redirecting address.
# For a proxy: a registry's redirect of an upload must reach the client as it is, and must not be answered in its place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check flit==4.2.0
cat >"$folder/try.py" <<'PY'
import http.server, os, subprocess, sys, threading

folder = sys.argv[1]
open(folder + "/pyproject.toml", "w").write('[build-system]\nrequires = ["flit_core>=3.2,<5"]\nbuild-backend = "flit_core.buildapi"\n'
    '[project]\nname = "demo"\nversion = "1.0"\ndescription = "x"\n')
open(folder + "/demo.py", "w").write('"""x"""\n')
seen = []

class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen.append((self.command, self.path))
        self.send_response(303 if self.command == "POST" else 200)
        if self.command == "POST": self.send_header("Location", "/sign-in")
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST = answer

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
environment = {"PATH": os.environ["PATH"], "HOME": folder, "FLIT_INDEX_URL": f"http://127.0.0.1:{server.server_port}/upload",
    "FLIT_USERNAME": "u", "FLIT_PASSWORD": "p", "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
done = subprocess.run([folder + "/venv/bin/flit", "publish", "--format", "wheel"], cwd=folder, env=environment,
    capture_output=True, text=True)
print("flit 4.2.0 publish, answered 303 to a sign-in page")
print("expected: an error; seen:", seen, "exit code", done.returncode)
sys.exit(0 if seen == [("POST", "/upload"), ("GET", "/sign-in")] and done.returncode == 0 else f"this has changed: {done.stderr}")
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
