# docker build -t larder . && docker run -p 3141:3141 -v larder:/var/cache/larder larder --gitlab https://gitlab.example.com
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# aws-lc-sys compiles C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin larder

FROM ${BASE_IMAGE}
# The system's certificate authorities, for the connection to GitLab.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 -m 0700 /var/cache/larder
COPY --from=build /build/target/release/larder /usr/bin/larder
COPY LICENSE LICENSE-APACHE LICENSE-MIT /usr/share/doc/larder/
USER 65532:65532
# systemd's name for the cache folder; larder reads it by default. A config file or a LARDER_… variable still wins.
ENV CACHE_DIRECTORY=/var/cache/larder
VOLUME /var/cache/larder
EXPOSE 3141
# 0.0.0.0 is inside the container: publish the port where only your machines reach it.
ENTRYPOINT ["/usr/bin/larder", "serve", "--listen", "0.0.0.0:3141"]
