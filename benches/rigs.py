"""What is measured and what it stands on: the upstream's pages and files, and the servers, each in a folder of its own."""

import gzip
import hashlib
import os
import random
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

API = "/api/v4/projects/42/packages/pypi"
MB = 1_000_000
SERVER_CORE, LOAD_CORE = "0", "1"
SLOW_BYTES_PER_SECOND = "100m"  # nginx counts in MiB


class Site:
    """The upstream's content, in GitLab's shape, with the pages ready-made as well as nginx static needs them."""

    def __init__(self, root, upstream_url, file_mb):
        self.upstream, self.rewritten = root / "upstream", root / "rewritten"
        self.upstream_url = upstream_url
        self.pages, self.files = {}, {}
        noise = random.Random(42)
        for name, size in {"one": MB, "hundred": file_mb * MB, "slow-hundred": file_mb * MB, "slow-herd": file_mb * MB}.items():
            self._add_file(name, noise.randbytes(size))
        self._add_page("small", 11, noise)
        self._add_page("large", 5000, noise)

    def _add_file(self, name, body):
        digest = hashlib.sha256(body).hexdigest()
        path = f"{API}/files/{digest}/{name.replace('-', '_')}-1.0-py3-none-any.whl"
        self.files[name] = (path, digest, len(body))
        self._write(self.upstream, path, body)
        self._write(self.rewritten, path, body)

    def _add_page(self, name, links, noise):
        lines = []
        for version in range(links):
            digest, file = noise.randbytes(32).hex(), f"{name}_package-1.0.{version}-py3-none-any.whl"
            url = f"{self.upstream_url}{API}/files/{digest}/{file}#sha256={digest}"
            lines.append(f'<a href="{url}" data-requires-python="&gt;=3.8">{file}</a>')
        page = (
            "<!DOCTYPE html>\n        <html>\n          <head>\n"
            f"            <title>Links for {name}-package</title>\n          </head>\n          <body>\n"
            f"            <h1>Links for {name}-package</h1>\n            {''.join(lines)}\n          </body>\n        </html>\n"
        )
        path = f"{API}/simple/{name}"
        rewritten = page.replace(self.upstream_url, "").encode()
        self.pages[name] = (path, rewritten)
        self._write(self.upstream, path, page.encode())
        self._write(self.rewritten, path, rewritten)
        self._write(self.rewritten, path + ".gz", gzip.compress(rewritten, 6, mtime=0))

    @staticmethod
    def _write(root, path, body):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


class Server:
    """A server process, pinned to a core, with its folder; use as a context."""

    def __init__(self, name, folder, core=SERVER_CORE):
        self.name, self.folder, self.core = name, folder, core
        self.process = None

    def __enter__(self):
        self.folder.mkdir(parents=True)
        self.log = self.folder / "output"
        command, env = self.command()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", self.core, *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **env},
            )
        try:
            self.url = self.wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_until_up(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            if url := self.probe():
                return url
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text(errors='replace')}")

    def pids(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu_seconds(self):
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, field):
        """`VmRSS` now or `VmHWM` at its highest, all processes added up."""
        status = "".join(Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(kb) for kb in re.findall(rf"^{field}:\s+(\d+) kB", status, re.M)) / 1000


class Nginx(Server):
    """nginx with one worker; `site` is the inside of its http block."""

    def __init__(self, name, folder, site, core=SERVER_CORE):
        super().__init__(name, folder, core)
        self.site, self.port = site, free_port()

    def command(self):
        temp = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.folder / "nginx.conf"
        config.write_text(f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
            events {{ worker_connections 4096; }}
            http {{
                {temp}
                access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; server_tokens off;
                types {{ }} default_type application/octet-stream;
                {self.site.replace("@PORT@", str(self.port)).replace("@FOLDER@", str(self.folder))}
            }}""")
        return ["nginx", "-c", str(config)], {}

    def probe(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0 and f"http://127.0.0.1:{self.port}"


class Larder(Server):
    def __init__(self, folder, binary, upstream_url):
        super().__init__("larder", folder)
        self.binary, self.upstream_url = binary, upstream_url

    def command(self):
        config = self.folder / "config.toml"
        config.write_text(
            f'listen = "127.0.0.1:0"\ncache_dir = "{self.folder}/cache"\n\n[gitlab]\nurl = "{self.upstream_url}"\n'
        )
        return [str(self.binary), "serve", "--config", str(config)], {"TOKIO_WORKER_THREADS": "1"}

    def probe(self):
        found = re.search(rb"listening on (http://127\.0\.0\.1:\d+)", self.log.read_bytes())
        return found and found[1].decode()


def upstream(folder, root, port):
    """Stands for GitLab: its headers, absolute links, no compression; files named slow_… are throttled per connection."""
    server = Nginx("upstream", folder, f"""
        log_format transfers '$request_method $uri $status $body_bytes_sent';
        server {{
            listen 127.0.0.1:@PORT@ backlog=1024;
            access_log @FOLDER@/transfers transfers;
            root {root};
            location ~ ^(.+/simple/[^/]+)/?$ {{
                default_type text/html; charset utf-8; try_files $1 =404;
                add_header Cache-Control "max-age=0, private, must-revalidate";
            }}
            location ~ /files/[^/]+/slow_ {{ limit_rate {SLOW_BYTES_PER_SECOND}; }}
        }}""", core=LOAD_CORE)
    server.port = port
    return server


def nginx_static(folder, site):
    """The upper mark: pages rewritten and compressed beforehand, files on disk, descriptors kept open, no log."""
    return Nginx("nginx static", folder, f"""
        open_file_cache max=1000; gzip_static on; gzip_vary on; charset utf-8; charset_types text/html;
        server {{
            listen 127.0.0.1:@PORT@ backlog=1024;
            root {site.rewritten};
            location ~ /simple/ {{ default_type text/html; }}
        }}""")


def nginx_proxy(folder, site):
    """nginx as one would set it up for this job: stored pages, links rewritten on the way out, one fetch at a time for each file."""
    return Nginx("nginx proxy_cache", folder, f"""
        proxy_cache_path @FOLDER@/cache levels=1:2 keys_zone=all:10m max_size=20g inactive=1d use_temp_path=off;
        upstream gitlab {{ server {site.upstream_url.removeprefix("http://")}; keepalive 64; }}
        server {{
            listen 127.0.0.1:@PORT@ backlog=1024;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Accept-Encoding "";
            proxy_cache all; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
            proxy_ignore_headers Cache-Control; proxy_cache_revalidate on;
            location ~ /simple/ {{
                proxy_pass http://gitlab; proxy_cache_valid 200 30s;
                sub_filter "{site.upstream_url}" ""; sub_filter_once off; gzip on;
            }}
            location / {{ proxy_pass http://gitlab; proxy_cache_valid 200 1d; }}
        }}""")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
