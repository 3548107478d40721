"""The content of an upstream in GitLab's shape, and the same with the pages ready-made, as static servers need them."""

import base64
import gzip
import hashlib
import io
import os
import random
import zipfile

MB = 1_000_000
PROJECT = "/api/v4/projects/42/packages/pypi"
# GitLab shows this one only to callers with a token.
PRIVATE_PROJECT = "/api/v4/projects/43/packages/pypi"


class Site:
    """Pages and files below `upstream`, whose links begin with `base_url`, and below `ready`, whose links begin with /."""

    def __init__(self, root, base_url):
        self.upstream, self.ready = root / "upstream", root / "ready"
        self.base_url = base_url
        self.pages, self.files = {}, {}  # name: (path, rewritten body) and (path, sha256, bytes)
        self.noise = random.Random(42)

    def add_noise(self, name, size):
        body = self.noise.randbytes(size)
        self.files[name] = self.add_file(f"{name.replace('-', '_')}-1.0-py3-none-any.whl", body)

    def add_file(self, filename, body, project=PROJECT):
        digest = hashlib.sha256(body).hexdigest()
        path = f"{project}/files/{digest}/{filename}"
        self._write(self.upstream, path, body)
        ready = self.ready / path.lstrip("/")
        ready.parent.mkdir(parents=True, exist_ok=True)
        os.link(self.upstream / path.lstrip("/"), ready)
        return path, digest, len(body)

    def add_many(self, name, count, size):
        """So many files; their names."""
        names = [f"{name}-{number}" for number in range(count)]
        for each in names:
            self.add_noise(each, size)
        return names

    def copies(self, name, count):
        """Further addresses of the same file, at the upstream alone."""
        path, digest, _ = self.files[name]
        paths = [f"{PROJECT}/files/{digest}/copy_{number}-1.0-py3-none-any.whl" for number in range(count)]
        for copy in paths:
            os.link(self.upstream / path.lstrip("/"), self.upstream / copy.lstrip("/"))
        return paths

    def add_links(self, name, links, project=PROJECT):
        """A page with so many links to files that are not there."""
        files = []
        for version in range(links):
            digest, filename = self.noise.randbytes(32).hex(), f"{name}_package-1.0.{version}-py3-none-any.whl"
            files.append((f"{project}/files/{digest}/{filename}", digest))
        self.add_page(name, files, project)

    def add_page(self, name, files, project=PROJECT):
        page = page_text(self.base_url, name, files)
        path = f"{project}/simple/{name}"
        rewritten = page.replace(self.base_url, "").encode()
        self.pages[name] = (path, rewritten)
        self._write(self.upstream, path, page.encode())
        self._write(self.ready, path, rewritten)
        self._write(self.ready, path + ".gz", gzip.compress(rewritten, 6, mtime=0))

    @staticmethod
    def _write(root, path, body):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


def page_text(base_url, name, files):
    """A page as GitLab writes it, of (path, sha256)."""
    anchors = []
    for path, digest in files:
        url = f"{base_url}{path}#sha256={digest}"
        anchors.append(f'<a href="{url}" data-requires-python="&gt;=3.8">{path.rpartition("/")[2]}</a>')
    return (
        "<!DOCTYPE html>\n        <html>\n          <head>\n"
        f"            <title>Links for {name}</title>\n          </head>\n          <body>\n"
        f"            <h1>Links for {name}</h1>\n            {''.join(anchors)}\n          </body>\n        </html>\n"
    )


# 42 packages that need each other, in three versions each. The newest of one needs what no other package can live with,
# so that a resolver has to step back. Sizes of wheels, and of descriptions: most of a real METADATA.
PACKAGES, VERSIONS, AT_ODDS = 42, ("1.0", "2.0", "3.0"), 7
SIZES = (50_000, 60_000, 80_000, 120_000, 200_000, 350_000, 600_000, 1_100_000, 2_500_000, 4_000_000)
DESCRIPTIONS = (2_000, 6_000, 15_000, 40_000)
# Between them they need all the others.
WANTED = [f"part-{number:02}" for number in range(8)]


def needs(number):
    """The packages that one needs: always later ones, more of them at the top, none at the bottom."""
    if number < 16:
        return [number + step for step in (1, 3, 8, 13)]
    if number < PACKAGES - 8:
        return [number + 1, number + 8]
    return []


def add_packages(site):
    for number in range(PACKAGES):
        files = []
        for version in VERSIONS:
            allowed = "<2" if (number, version) == (AT_ODDS, "3.0") else ">=2,<4"
            lines = [f"Requires-Dist: part-{needed:02}{allowed}" for needed in needs(number)]
            body = wheel(f"part_{number:02}", version, lines, number, site.noise)
            path, digest, _ = site.add_file(f"part_{number:02}-{version}-py3-none-any.whl", body)
            files.append((path, digest))
        site.add_page(f"part-{number:02}", files)


def wheel(module, version, requires, number, noise):
    prose = " ".join(noise.choice(("larder", "wheel", "index", "cache", "page")) for _ in range(8000))
    metadata = "\n".join([
        "Metadata-Version: 2.1", f"Name: {module.replace('_', '-')}", f"Version: {version}", "Requires-Python: >=3.8",
        *requires, "", prose[:DESCRIPTIONS[number % len(DESCRIPTIONS)]],
    ])
    folder = f"{module}-{version}.dist-info"
    members = {
        f"{module}/__init__.py": b"",
        f"{module}/payload.bin": noise.randbytes(SIZES[number % len(SIZES)]),
        f"{folder}/METADATA": metadata.encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nGenerator: larder-bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={urlsafe(hashlib.sha256(body).digest())},{len(body)}" for name, body in members.items()]
    members[f"{folder}/RECORD"] = "\n".join([*record, f"{folder}/RECORD,,", ""]).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return file.getvalue()


def urlsafe(digest):
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
