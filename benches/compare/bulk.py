"""A larder's cache folder with up to millions of files in it, made in seconds.

The layout is that of larder's store (`src/store/layout.rs`): a blob for each digest, a line of the index for each
address. The fillers' blobs are hard links to a few files whose bytes their names do not promise; larder would find that
out if it were asked for one. A few thousand files are real: those that the site has too.
"""

import base64
import hashlib
import json
import os
import time

import machine
from content import PROJECT, page_text

FILLER = b"x" * 1000
FILES_A_PROJECT = 100
# ext4 allows 65,000.
LINKS_MAX = 60_000


class BulkStore:
    def __init__(self, folder):
        self.folder = folder
        self.content, self.index = str(folder / "content-v2" / "sha256"), str(folder / "index-v5")
        self.files = 0
        self.template = None
        self.made = set()
        os.makedirs(self.content)

    def bytes_stored(self):
        sizes = machine.run(["find", self.content, "-type", "f", "-printf", "%s\\n"]).split()
        return sum(map(int, sizes))

    def add_real(self, site, names):
        for name in names:
            path, digest, size = site.files[name]
            os.link(site.upstream / path.lstrip("/"), self._place(self.content, digest))
            self._add_line(path, bytes.fromhex(digest), size, {"size": size})

    def grow(self, count):
        """Fillers up to so many files: a hundred in each project, with its page."""
        while self.files < count:
            if self.files % LINKS_MAX == 0:
                self.template = f"{self.folder}/template-{self.files}"
                with open(self.template, "wb") as file:
                    file.write(FILLER)
            self._add_project(self.files // FILES_A_PROJECT)
            self.files += FILES_A_PROJECT

    def _add_project(self, project):
        files = []
        for version in range(FILES_A_PROJECT):
            digest = hashlib.sha256(b"filler %d %d" % (project, version)).digest()
            os.link(self.template, self._place(self.content, digest.hex()))
            path = f"{PROJECT}/files/{digest.hex()}/filler_{project}-1.{version}-py3-none-any.whl"
            self._add_line(path, digest, len(FILLER), {"size": len(FILLER)})
            files.append((path, digest.hex()))
        body = page_text("http://127.0.0.1:9", f"filler-{project}", files).encode()
        digest, path = hashlib.sha256(body).digest(), f"{PROJECT}/simple/filler-{project}"
        with open(self._place(self.content, digest.hex()), "wb") as file:
            file.write(body)
        self._add_line(f"html {path}", digest, len(body), {"etag": None, "url": f"http://127.0.0.1:9{path}"})

    def _add_line(self, key, digest, size, metadata):
        """As cacache writes it: the line's sha256, then the line, in a file named by the sha1 of its key."""
        line = json.dumps({
            "key": key, "integrity": f"sha256-{base64.b64encode(digest).decode()}", "time": int(time.time() * 1000),
            "size": size, "metadata": metadata, "raw_metadata": None,
        }).encode()
        place = self._place(self.index, hashlib.sha1(key.encode()).hexdigest())
        file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(file, b"\n%s\t%s" % (hashlib.sha256(line).hexdigest().encode(), line))
        os.close(file)

    def _place(self, base, name):
        folder = f"{base}/{name[:2]}/{name[2:4]}"
        if folder not in self.made:
            os.makedirs(folder, exist_ok=True)
            self.made.add(folder)
        return f"{folder}/{name[4:]}"
