# syntax=docker/dockerfile:1
# One image for workers, control and the operator: `docker build -t raftduck .`, then `docker run raftduck worker --help`.
# The first build compiles DuckDB, which takes about half an hour on two cores; the cache mounts keep it.
#
# Two stages can be taken from elsewhere, so that a machine that has the binaries already, or cannot pull, builds the
# same image (tests/e2e/run does):
#   --build-arg BINARIES=prebuilt   takes bin/raftduck and bin/raftduck-operator of the build context
#   --build-arg BASE=IMAGE          takes IMAGE: Debian 12 with ca-certificates and libstdc++6
ARG BINARIES=build
ARG BASE=system

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package raftduck --package raftduck-operator \
    && install -D --target-directory=/bin-out/bin target/release/raftduck target/release/raftduck-operator

FROM scratch AS prebuilt
COPY bin /bin-out/bin

FROM ${BINARIES} AS binaries

FROM debian:bookworm-slim AS system
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/*

FROM ${BASE} AS runtime
RUN useradd --system --uid 10001 --home-dir /var/lib/raftduck --create-home raftduck
COPY --from=binaries /bin-out/bin /usr/local/bin
COPY LICENSE /usr/share/doc/raftduck/LICENSE
USER 10001
VOLUME /var/lib/raftduck
EXPOSE 8080 8081
ENTRYPOINT ["raftduck"]
CMD ["--help"]
