# syntax=docker/dockerfile:1
# One image for workers and control: `docker build -t raftduck .`, then `docker run raftduck worker --help`.
# The first build compiles DuckDB, which takes about half an hour on two cores; the cache mounts keep it.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package raftduck && cp target/release/raftduck /raftduck

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/raftduck --create-home raftduck
COPY --from=build /raftduck /usr/local/bin/raftduck
COPY LICENSE /usr/share/doc/raftduck/LICENSE
USER 10001
VOLUME /var/lib/raftduck
EXPOSE 8080 8081
ENTRYPOINT ["raftduck"]
CMD ["--help"]
