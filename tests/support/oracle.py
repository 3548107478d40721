"""Reads pages before and after larder with other people's parsers, and says where they differ.

stdin: {"cases": [{"name", "index", "original": PAGE, "seen": [PAGE with "label" and "map"]}]}
       PAGE: {"url", "content_type", "body" (base64)}; "map": [[larder's prefix, the original's prefix], ...];
       "served": the original's prefixes that no link to a file may keep
stdout: {"differences": [text, ...], "files": number of facts' bearers compared, "unread": [text, ...]}
        "unread" names the originals that a parser makes nothing of, and is thus not asked about

The parsers: pip's own, pypi-simple, and one of this file that reads every attribute and key there is. A fact that
a parser cannot see in one of two formats is not compared between them.
"""

import base64
import datetime
import html
import json
import posixpath
import re
import sys
import urllib.parse
import warnings
from html.parser import HTMLParser

from pip._internal.index.collector import IndexContent, parse_links
from pypi_simple import IndexPage, ProjectPage

# In the order in which one of several digests is chosen for a fragment; others follow.
DIGESTS = ["sha256", "sha512", "sha384", "sha224", "sha1", "md5"]


class Page:
    def __init__(self, described):
        self.url = described["url"]
        self.content_type = described["content_type"]
        self.body = base64.b64decode(described["body"])
        self.label = described.get("label", "original")
        self.map = sorted(described.get("map", []), key=lambda pair: -len(pair[0]))
        self.served = described.get("served", [])
        self.is_json = "json" in self.content_type

    def text(self):
        return self.body.decode("utf-8-sig")

    def canonical(self, url):
        """The address as the original has it: absolute, larder's prefix swapped back, spelled in one way."""
        url = urllib.parse.urljoin(self.url, url.strip()).partition("#")[0]
        for ours, theirs in self.map:
            if url.startswith(ours):
                url = theirs + url[len(ours) :]
                break
        scheme, netloc, path, query, _ = urllib.parse.urlsplit(url)
        path = urllib.parse.urljoin(path, path)  # which takes the dot segments out
        path = urllib.parse.quote(urllib.parse.unquote(path), safe="/+!~")
        if any(url.startswith(place) for place in self.served):
            query = ""  # which larder tells upstream, and nobody else
        return urllib.parse.urlunsplit((scheme, netloc, path, query, ""))

    def leads_past_larder(self, url):
        """Whether a link stayed with the original's host though larder serves that prefix."""
        url = urllib.parse.urljoin(self.url, url.strip()).partition("#")[0]
        # What has a hole in its path is no address that larder serves.
        return any(url.startswith(place) and "//" not in url[8:] for place in self.served)


def utc(time):
    return time and time.astimezone(datetime.timezone.utc).isoformat()


def with_pip(page):
    files = []
    content = IndexContent(page.body, page.content_type, "utf-8-sig", page.url, cache_link_parsing=False)
    for link in parse_links(content):
        if not posixpath.basename(link.path) or not link.url.startswith("http"):
            continue
        metadata = link.metadata_file_data
        files.append(
            {
                "url": page.canonical(link.url),
                "filename": link.filename,
                "hashes": dict(link._hashes or {}),
                "requires-python": link.requires_python,
                "yanked": link.yanked_reason,
                "metadata": None if metadata is None else dict(metadata.hashes or {}),
                "upload-time": utc(link.upload_time),
            }
        )
    return {"files": files}


def with_pypi_simple(page):
    if page.is_json:
        read = ProjectPage.from_json_data(json.loads(page.body), page.url)
    else:
        read = ProjectPage.from_html("project", page.text(), base_url=page.url)
    files = []
    for package in read.packages:
        filename = posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(package.url).path))
        if not filename or not package.url.startswith("http"):
            continue
        files.append(
            {
                "url": page.canonical(package.url),
                "filename": filename,
                "hashes": package.digests,
                "requires-python": (package.requires_python or "").strip() or None,
                "yanked": (package.yanked_reason or "") if package.is_yanked else None,
                "metadata": package.metadata_digests if package.has_metadata else None,
                "signed": package.has_sig,
                "size": package.size,
                "upload-time": utc(package.upload_time),
                "provenance": package.provenance_url,
            }
        )
    facts = {"files": files}
    if page.is_json:
        facts["versions"] = read.versions
    return facts


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.anchors, self.metas, self.base = [], {}, None

    def handle_starttag(self, tag, attributes):
        attributes = dict(reversed(attributes))
        if tag == "a" and attributes.get("href"):
            self.anchors.append(attributes)
        elif tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "meta" and "name" in attributes:
            self.metas.setdefault(attributes["name"], attributes.get("content"))


def read_html(page):
    reader = Reader()
    reader.feed(page.text())
    return reader


def by_hand(page):
    return hand_json(page) if page.is_json else hand_html(page)


def hand_html(page):
    reader = read_html(page)
    files = []
    for anchor in reader.anchors:
        url = urllib.parse.urljoin(urllib.parse.urljoin(page.url, reader.base or ""), anchor["href"].strip())
        name, _, digest = url.partition("#")[2].partition("&")[0].partition("=")
        filename = posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(url).path))
        if not filename or not url.startswith("http"):
            continue
        metadata = anchor.get("data-core-metadata", anchor.get("data-dist-info-metadata"))
        algorithm, _, value = (metadata or "").partition("=")
        files.append(
            {
                "url": page.canonical(url),
                "filename": filename,
                "hashes": {name: digest} if digest and name in DIGESTS else {},
                "requires-python": (anchor.get("data-requires-python") or "").strip() or None,
                "yanked": (anchor["data-yanked"] or "") if "data-yanked" in anchor else None,
                "metadata": None if metadata is None else ({algorithm: value} if value else {}),
                "signed": {"true": True, "false": False}.get(anchor.get("data-gpg-sig")),
                "size": int(anchor["data-size"]) if "data-size" in anchor else None,
                "upload-time": moment(anchor.get("data-upload-time")),
                "provenance": anchor.get("data-provenance"),
            }
        )
    status = reader.metas.get("pypi:project-status")
    reason = reader.metas.get("pypi:project-status-reason")
    return {"files": files, "status": status and [status, reason], "version": reader.metas.get("pypi:repository-version")}


def hand_json(page):
    read = json.loads(page.body)
    files = []
    for file in read["files"]:
        metadata = file.get("core-metadata", file.get("dist-info-metadata"))
        if not metadata and "core-metadata" not in file:
            metadata = file.get("data-dist-info-metadata")
        files.append(
            {
                "url": page.canonical(file["url"]),
                "filename": file["filename"],
                "hashes": file["hashes"],
                "requires-python": (file.get("requires-python") or "").strip() or None,
                "yanked": "" if file.get("yanked") is True else (file.get("yanked") or None),
                "metadata": (metadata if isinstance(metadata, dict) else {}) if metadata else None,
                "signed": file.get("gpg-sig"),
                "size": file.get("size"),
                "upload-time": moment(file.get("upload-time")),
                "provenance": file.get("provenance"),
            }
        )
    status = read.get("project-status")
    return {
        "files": files,
        "status": status and [status["status"], status.get("reason")],
        "versions": read.get("versions"),
        "version": read["meta"]["api-version"],
    }


def moment(text):
    return utc(datetime.datetime.fromisoformat(text)) if text else None


def projects(page):
    """The projects of an index, without repeats, and their addresses where the format gives any."""
    if page.is_json:
        return [normalised(project["name"]) for project in json.loads(page.body)["projects"]]
    reader = read_html(page)
    names = []
    for anchor in reader.anchors:
        path = urllib.parse.urlsplit(urllib.parse.urljoin(page.url, anchor["href"])).path
        path = re.sub(r"/index\.html$", "/", path)
        names.append(normalised(urllib.parse.unquote(posixpath.basename(path.rstrip("/")))))
    return list(dict.fromkeys(names))


def addresses(page):
    """Of the projects' pages; a document of a folder stands for the folder."""
    found = [page.canonical(anchor["href"]) for anchor in read_html(page).anchors]
    return [re.sub(r"/index\.html$", "/", address).rstrip("/") for address in found]


def with_pypi_simple_index(page):
    if page.is_json:
        read = IndexPage.from_json_data(json.loads(page.body))
    else:
        read = IndexPage.from_html(page.text())
    return list(dict.fromkeys(normalised(name) for name in read.projects))


def normalised(name):
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def without_links(page):
    """The page as text with each address taken out: what an answer in kind must leave as it was. A `<base>` goes
    too, because its links become others."""
    text = page.body.decode("utf-8", "surrogateescape")
    if page.is_json:
        return re.sub(r'("u(?:r|\\u0072)l"\s*:\s*)"(?:[^"\\]|\\.)*"', r"\1", text)
    tag = re.compile(r"<a(?=\s)(?:[^\"'>]|\"[^\"]*\"|'[^']*')*>", re.IGNORECASE)
    address = re.compile(r"(\shref\s*=\s*)(?:\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
    text = re.sub(r"<base\s[^>]*>", "", text, flags=re.IGNORECASE)
    return tag.sub(lambda found: address.sub(r"\1", found[0], count=1), text)


class Comparison:
    def __init__(self, name):
        self.name, self.differences, self.files, self.unread = name, [], 0, []

    def say(self, page, parser, text):
        self.differences.append(f"{self.name} as {page.label}, {parser}: {text}")

    def project(self, original, seen):
        in_kind = original.is_json == seen.is_json
        for parser in (with_pip, with_pypi_simple, by_hand):
            try:
                before = parser(original)
            except Exception as error:
                self.unread.append(f"{self.name} by {parser.__name__}: {error!r}")
                continue
            try:
                after = parser(seen)
            except Exception as error:
                self.say(seen, parser.__name__, f"is no longer understood: {error!r}")
                continue
            self.facts(original, seen, parser.__name__, before, after, in_kind)
        self.links(seen)
        if in_kind and without_links(original) != without_links(seen):
            self.say(seen, "bytes", f"more than links changed: {first_change(without_links(original), without_links(seen))}")

    def facts(self, original, seen, parser, before, after, in_kind):
        ours, theirs = [file["url"] for file in after["files"]], [file["url"] for file in before["files"]]
        if ours != theirs:
            self.say(seen, parser, f"files {theirs} have become {ours}")
            return
        for old, new in zip(before["files"], after["files"]):
            self.files += 1
            for fact in old:
                if not same(fact, old[fact], new[fact], original, seen, parser):
                    self.say(seen, parser, f"{old['filename']}: {fact} {old[fact]!r} has become {new[fact]!r}")
        for fact in ("status", "versions", "version"):
            if fact not in before or fact not in after:
                continue
            if fact == "status" or in_kind:
                if before[fact] != after[fact]:
                    self.say(seen, parser, f"{fact} {before[fact]!r} has become {after[fact]!r}")
        if parser == "by_hand" and not in_kind and seen.is_json:
            self.rendered(seen, after)

    def rendered(self, page, facts):
        """PEP 700: from 1.1 on every size is there, and the versions; before, none of both."""
        sizes = [file["size"] is not None for file in facts["files"]]
        modern = facts["version"] != "1.0"
        if modern and not (all(sizes) and facts["versions"] is not None):
            self.say(page, "by_hand", f"api-version {facts['version']} without all sizes and versions")
        if not modern and facts["versions"] is not None:
            self.say(page, "by_hand", "api-version 1.0 with versions")

    def links(self, page):
        if page.is_json:
            found = [file["url"] for file in json.loads(page.body)["files"]]
        else:
            found = [anchor["href"] for anchor in read_html(page).anchors]
        for url in found:
            name = posixpath.basename(urllib.parse.urlsplit(url.strip()).path)
            if name and page.leads_past_larder(url):
                self.say(page, "links", f"{url} leads past larder")

    def index(self, original, seen):
        for parser in (projects, with_pypi_simple_index):
            before, after = parser(original), parser(seen)
            self.files += len(before)
            if before != after:
                self.say(seen, parser.__name__, f"{before} has become {after}")
        if original.is_json == seen.is_json:
            if not seen.is_json and addresses(original) != addresses(seen):
                self.say(seen, "addresses", f"{addresses(original)} have become {addresses(seen)}")
            if without_links(original) != without_links(seen):
                self.say(seen, "bytes", f"more than links changed: {first_change(without_links(original), without_links(seen))}")


def same(fact, old, new, original, seen, parser):
    if old == new:
        return True
    if original.is_json == seen.is_json:
        return False
    if parser == "with_pip" and fact == "upload-time":
        return True  # which pip reads in JSON only
    if parser == "with_pip" and not original.is_json:
        if fact == "yanked" and not old and not new:
            return True  # an empty reason is none to pip in HTML; `by_hand` tells them apart
        if fact == "hashes":
            return new == {name: digest.strip() for name, digest in old.items() if digest.strip()}
    if parser == "with_pypi_simple":
        if fact in ("size", "upload-time"):
            return True  # read in JSON only
        if fact == "metadata" and old is None:
            return True  # the older attribute is not read
        if fact == "yanked" and original.is_json and old == "" and new is None:
            return True  # an empty reason is none to pip, and to `by_hand`, which tells it from `true`
        if fact == "hashes" and not original.is_json:
            # A fragment is taken whole, with what else stands in it.
            return new == {name: digest.partition("&")[0].strip() for name, digest in old.items() if name in DIGESTS}
    if fact == "yanked" and not original.is_json and old is not None and new is not None:
        return old == html.unescape(new)  # references without a semicolon may stay as they are
    if fact == "hashes" and original.is_json:
        # A fragment holds one digest.
        known = [name for name in DIGESTS if name in old]
        return not known and not new or bool(known) and new == {known[0]: old[known[0]]}
    if fact == "metadata" and original.is_json and old:
        # So does an attribute.
        return new == {"sha256": old.get("sha256")}
    return False


def first_change(old, new):
    at = next((at for at, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    return f"{old[max(at - 40, 0) : at + 60]!r} -> {new[max(at - 40, 0) : at + 60]!r}"


def main():
    warnings.simplefilter("ignore")
    differences, files, unread = [], 0, []
    for case in json.load(sys.stdin)["cases"]:
        original = Page(case["original"])
        for described in case["seen"]:
            comparison = Comparison(case["name"])
            compare = comparison.index if case["index"] else comparison.project
            compare(original, Page(described))
            differences += comparison.differences
            files += comparison.files
            unread += comparison.unread
    json.dump({"differences": differences, "files": files, "unread": sorted(set(unread))}, sys.stdout)


if __name__ == "__main__":
    main()
