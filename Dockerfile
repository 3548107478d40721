# larder in a container.
#
#     docker build -t larder .
#     docker run -p 127.0.0.1:3141:3141 -v larder:/var/cache/larder larder serve --gitlab https://gitlab.example.com
#
# As confined as it can run, with a configuration of your own (it must listen on more than the container's loopback:
# `listen = "0.0.0.0:3141"`):
#
#     docker run --read-only --cap-drop=ALL --security-opt=no-new-privileges -p 127.0.0.1:3141:3141 \
#         -v larder:/var/cache/larder -v ./config.toml:/etc/larder/config.toml:ro larder
#
# Both images can be replaced: RUST_IMAGE by any with cargo, gcc and certificate authorities; BASE_IMAGE by any with a glibc no older
# than that one's, a Debian as well as a distroless `cc`. `.ci/container` builds this file on images made on the spot.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /build
COPY . .
# The commit, for `larder --version`; the build has no repository to ask.
ARG REVISION=
RUN LARDER_COMMIT="${REVISION}" cargo build --profile dist --locked --bin larder
# What the image gets, as folders: the last stage runs nothing, so it needs no shell, no network and no root.
# The configuration says only what is different in a container; a file mounted in its place replaces it.
RUN install -D -m 0755 target/dist/larder /out/files/usr/bin/larder \
    && install -D -m 0644 -t /out/files/usr/share/doc/larder LICENSE LICENSE-APACHE LICENSE-MIT \
    && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/files/etc/ssl/certs/ca-certificates.crt \
    && install -d -m 0755 /out/files/etc/larder \
    && echo 'listen = "0.0.0.0:3141"' > /out/files/etc/larder/config.toml \
    && install -d -m 0700 /out/owned/larder

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="larder" \
    org.opencontainers.image.description="A caching proxy for GitLab's PyPI package registry" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/files/ /
COPY --from=build --chown=65532:65532 /out/owned/ /var/cache/
USER 65532:65532
# systemd's name for the cache folder, and the weakest word about it: the file, a LARDER_… variable and the command line win.
ENV CACHE_DIRECTORY=/var/cache/larder
VOLUME /var/cache/larder
# 0.0.0.0 is inside the container: publish the port where only your machines reach it.
EXPOSE 3141
# Downloads are let finish, for limits.drain_timeout: give `docker stop` as long (--time, stop_grace_period).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/larder", "--config", "/etc/larder/config.toml", "health"]
ENTRYPOINT ["/usr/bin/larder", "--config", "/etc/larder/config.toml"]
CMD ["serve"]
