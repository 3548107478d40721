"""A GitLab with the project 42, which holds the wheels of tests/wheels: for the proofs outside of the test suite.

`gitlab.py FOLDER` writes its port to FOLDER/port. While FOLDER/no-files exists it answers no file. Any credential that
begins with glpat- is let in.
"""

import base64
import hashlib
import http.server
import os
import pathlib
import re
import sys

FOLDER = pathlib.Path(sys.argv[1])
WHEELS = {
    path.name: path.read_bytes()
    for path in sorted((pathlib.Path(__file__).parent.parent / "tests/wheels").glob("*.whl"))
}
BASE = "/api/v4/projects/42/packages/pypi/"


def project(name):
    return re.sub(r"[-_.]+", "-", name.split("-")[0]).lower()


class GitLab(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        secret = self.headers.get("PRIVATE-TOKEN", "")
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            secret = base64.b64decode(value).decode().partition(":")[2]
        if not secret.startswith("glpat-"):
            return self.answer(401, b"", "WWW-Authenticate", 'Basic realm="GitLab Packages Registry"')
        if page := re.fullmatch(BASE + r"simple/([^/]+)/?", self.path):
            links = [
                f'<a href="{self.base()}files/{hashlib.sha256(body).hexdigest()}/{name}'
                f'#sha256={hashlib.sha256(body).hexdigest()}">{name}</a><br>'
                for name, body in WHEELS.items()
                if project(name) == page[1]
            ]
            if links:
                html = f"<!DOCTYPE html>\n<html>\n<head>\n<title>Links for {page[1]}</title>\n</head>\n<body>\n<h1>Links for {page[1]}</h1>\n"
                return self.answer(200, (html + "\n".join(links) + "\n</body>\n</html>\n").encode(), "Content-Type", "text/html")
        if file := re.fullmatch(BASE + r"files/[0-9a-f]{64}/([^/]+)", self.path):
            if file[1] in WHEELS and not (FOLDER / "no-files").exists():
                return self.answer(200, WHEELS[file[1]], "Content-Type", "application/octet-stream")
        return self.answer(404, b"")

    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}{BASE}"

    def answer(self, status, body, *field):
        self.send_response(status)
        if field:
            self.send_header(*field)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), GitLab)
(FOLDER / "port.new").write_text(str(server.server_port))
os.rename(FOLDER / "port.new", FOLDER / "port")
server.serve_forever()
