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
# Each image can be replaced: RUST_IMAGE by any with cargo, gcc and certificate authorities; BASE_IMAGE by any with a glibc no older
# than that one's, a Debian as well as a distroless `cc`; FILES_IMAGE by one that holds what the first stage makes, which is then
# not run: `.ci/image` builds this file so, with a binary that is there. `.ci/container` builds all of it on images made on the spot.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-slim
ARG FILES_IMAGE=build

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# The dependencies alone, in a layer that is made anew only when one of these files changes: larder is a program of nothing here.
COPY Cargo.toml Cargo.lock ./
COPY .ci/dist .ci/dist
COPY packaging/larder.profdata packaging/larder.profdata
RUN mkdir -p src benches/compare && touch src/lib.rs \
    && echo 'fn main() {}' | tee src/main.rs benches/resolve.rs benches/compare/bare_hyper.rs \
    && touch --date=2000-01-01 packaging/larder.profdata && sh .ci/dist
COPY . .
# The commit, for `larder --version`; the build has no repository to ask.
ARG REVISION=
# cargo goes by the files' times: those of the sources are older than the layer, and the profile is newer now than what it was used for.
RUN touch src/lib.rs src/main.rs && touch --date=2000-01-01 packaging/larder.profdata && LARDER_COMMIT="${REVISION}" sh .ci/dist
# What the image gets, as folders: the last stage runs nothing, so it needs no shell, no network and no root.
RUN sh .ci/image-files target/dist/larder /out

FROM ${FILES_IMAGE} AS files

FROM ${BASE_IMAGE}
ARG VERSION=0.2.0
ARG REVISION=
LABEL org.opencontainers.image.title="larder" \
    org.opencontainers.image.description="A caching proxy for GitLab's PyPI package registry" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
COPY --from=files /out/files/ /
COPY --from=files --chown=65532:65532 /out/owned/ /var/cache/
USER 65532:65532
# systemd's name for the cache folder, and the weakest word about it: the file, a LARDER_… variable and the command line win.
ENV CACHE_DIRECTORY=/var/cache/larder
VOLUME /var/cache/larder
# 0.0.0.0 is inside the container: publish the port where only your machines reach it.
EXPOSE 3141
# Downloads are let finish, for limits.drain_timeout: give `docker stop` as long (--time, stop_grace_period).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/larder", "health"]
# Its configuration is the file at /etc/larder/config.toml, unless LARDER_CONFIG or --config names another.
ENTRYPOINT ["/usr/bin/larder"]
CMD ["serve"]
