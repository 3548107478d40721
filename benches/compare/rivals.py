"""The servers beside larder: GitLab's stand-in, nginx in four ways, Varnish, caddy, and hyper without anything."""

import os
import sys
from pathlib import Path

from servers import Server

SLOW_BYTES_PER_SECOND = "100m"  # nginx counts in MiB


class Nginx(Server):
    """nginx with one worker; `site` is the inside of its http block."""

    def __init__(self, name, folder, core, site, sendfile=True):
        super().__init__(name, folder, core)
        self.site, self.sendfile = site, sendfile

    def prepare(self):
        temp = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        words = {"@PORT@": self.port, "@TLS_PORT@": self.tls_port, "@FOLDER@": self.folder}
        site = self.site
        for word, value in words.items():
            site = site.replace(word, str(value))
        config = self.folder / "nginx.conf"
        config.write_text(f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
            worker_rlimit_nofile 20000;
            events {{ worker_connections 8192; }}
            http {{
                {temp}
                access_log off; sendfile {"on" if self.sendfile else "off"}; tcp_nopush on;
                keepalive_requests 100000000; keepalive_timeout 300s; server_tokens off;
                types {{ }} default_type application/octet-stream;
                {site}
            }}""")
        return ["nginx", "-e", str(self.folder / "error.log"), "-c", str(config)], {}


class Upstream(Nginx):
    """Stands for GitLab: its headers, absolute links, no compression. Project 42 is public, project 43 is not. Files named
    slow_… are throttled for each connection. A second port has the pages ready-made, for a cache that cannot rewrite."""

    def __init__(self, folder, core, port, site, ranges=True):
        super().__init__("upstream", folder, core, f"""
            log_format transfers '$request_method $uri $status $body_bytes_sent';
            {"" if ranges else "max_ranges 0;"}
            server {{
                listen 127.0.0.1:@PORT@ backlog=4096;
                access_log @FOLDER@/transfers transfers;
                root {site.upstream};
                location = /api/v4/version {{ default_type application/json; return 401 '{{"message":"401 Unauthorized"}}'; }}
                location ~ ^(/api/v4/projects/43/.+/simple/[^/]+)/?$ {{
                    if ($http_authorization = "") {{ return 401; }}
                    {PAGE} try_files $1 =404;
                }}
                location /api/v4/projects/43/ {{ if ($http_authorization = "") {{ return 401; }} }}
                location ~ ^(.+/simple/[^/]+)/?$ {{ {PAGE} try_files $1 =404; }}
                location ~ /files/[^/]+/slow_ {{ limit_rate {SLOW_BYTES_PER_SECOND}; }}
            }}
            server {{
                listen 127.0.0.1:@TLS_PORT@ backlog=4096;
                access_log @FOLDER@/transfers transfers;
                root {site.ready}; gzip_static on; gzip_vary on;
                location ~ /simple/ {{ {PAGE} }}
                location ~ /files/[^/]+/slow_ {{ limit_rate {SLOW_BYTES_PER_SECOND}; }}
            }}""")
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.ready_url = f"http://127.0.0.1:{self.tls_port}"

    def log_lines(self):
        return (self.folder / "transfers").read_text().splitlines()

    def transfers(self, path):
        """How often this file was sent, or a part of it."""
        return sum(line.startswith(f"GET {path} 20") for line in self.log_lines())


PAGE = 'default_type text/html; charset utf-8; add_header Cache-Control "max-age=0, private, must-revalidate";'


def nginx_ready(name, folder, core, site, certificate=None, sendfile=True):
    """The upper mark: pages rewritten and compressed beforehand, files on disk, descriptors kept open, no log."""
    tls = ""
    if certificate:
        tls = f"""listen 127.0.0.1:@TLS_PORT@ ssl backlog=4096;
            ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]}; ssl_protocols TLSv1.2 TLSv1.3;
            ssl_session_cache shared:sessions:10m;"""
    return Nginx(name, folder, core, f"""
        open_file_cache max=1000; gzip_static on; gzip_vary on; charset utf-8; charset_types text/html;
        server {{
            listen 127.0.0.1:@PORT@ backlog=4096;
            {tls}
            root {site.ready};
            location ~ /simple/ {{ default_type text/html; }}
        }}""", sendfile)


def nginx_proxy(name, folder, core, upstream_url, page_seconds=30):
    """nginx as one would set it up for this job: stored pages, links rewritten on the way out, one fetch for each file."""
    return Nginx(name, folder, core, f"""
        proxy_cache_path @FOLDER@/cache levels=1:2 keys_zone=all:10m max_size=20g inactive=1d use_temp_path=off;
        upstream gitlab {{ server {upstream_url.removeprefix("http://")}; keepalive 64; }}
        server {{
            listen 127.0.0.1:@PORT@ backlog=4096;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Accept-Encoding "";
            proxy_cache all; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
            proxy_ignore_headers Cache-Control; proxy_cache_revalidate on;
            location ~ /simple/ {{
                proxy_pass http://gitlab; proxy_cache_valid 200 {page_seconds}s;
                proxy_cache_use_stale updating; proxy_cache_background_update on;
                sub_filter "{upstream_url}" ""; sub_filter_once off; gzip on;
            }}
            location / {{ proxy_pass http://gitlab; proxy_cache_valid 200 1d; }}
        }}""")


class Varnish(Server):
    """Varnish in front of ready-made pages, because it cannot rewrite any; each coding is stored as it comes."""

    def __init__(self, name, folder, core, ready_url, page_seconds=30):
        super().__init__(name, folder, core)
        self.backend_port, self.page_seconds = ready_url.rpartition(":")[2], page_seconds

    def prepare(self):
        policy = self.folder / "policy.vcl"
        policy.write_text(f"""vcl 4.1;
            backend default {{ .host = "127.0.0.1"; .port = "{self.backend_port}"; }}
            sub vcl_backend_response {{
                if (bereq.url ~ "/simple/") {{ set beresp.ttl = {self.page_seconds}s; }} else {{ set beresp.ttl = 1d; }}
                set beresp.grace = 10s;
                return (deliver);
            }}""")
        # The jail's user may not enter a folder of root's.
        command = ["varnishd", "-j", "none", "-F", "-n", str(self.folder / "work"), "-a", f"127.0.0.1:{self.port}",
                   "-f", str(policy), "-s", "malloc,2G", "-p", "http_gzip_support=off", "-p", "timeout_idle=300"]
        return command, {}


class Caddy(Server):
    """caddy with what nginx has ready: rewritten and compressed pages, and files."""

    def __init__(self, name, folder, core, binary, site, certificate):
        super().__init__(name, folder, core)
        self.binary, self.site, self.certificate = binary, site, certificate

    def prepare(self):
        public, key = self.certificate
        config = self.folder / "Caddyfile"
        config.write_text(f"""{{
    admin off
    auto_https off
    persist_config off
    servers {{
        protocols h1
    }}
}}
(ready) {{
    root * {self.site.ready}
    @pages path_regexp /simple/
    header @pages Content-Type "text/html; charset=utf-8"
    file_server {{
        precompressed gzip
    }}
}}
http://127.0.0.1:{self.port} {{
    import ready
}}
https://127.0.0.1:{self.tls_port} {{
    tls {public} {key}
    import ready
}}
""")
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        return [str(self.binary), "run", "--config", str(config), "--adapter", "caddyfile"], home


class BareHyper(Server):
    """bare_hyper.rs: what is left if a server does nothing but answer."""

    def __init__(self, name, folder, core, binary, site, certificate):
        super().__init__(name, folder, core)
        self.binary, self.site, self.certificate = binary, site, certificate

    def prepare(self):
        public, key = self.certificate
        addresses = [f"127.0.0.1:{self.port}", f"127.0.0.1:{self.tls_port}"]
        return [str(self.binary), str(self.site.ready), *addresses, str(public), str(key)], {}


class Relay(Server):
    """relay.py in front of another server: the same, further away."""

    def __init__(self, folder, core, port, server_port, milliseconds):
        super().__init__("relay", folder, core)
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.arguments = [str(port), str(server_port), str(milliseconds)]

    def prepare(self):
        return [sys.executable, str(Path(__file__).with_name("relay.py")), *self.arguments], {}
