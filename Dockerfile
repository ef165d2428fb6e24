# The image of auditlake: one binary, CA certificates, no shell.
#
#   docker build -t auditlake .
#
# Needs nothing of BuildKit: any builder works. Tags name a minor version. For builds that are the same for ever, pin
# them by digest (`image:tag@sha256:...`); the digests are left out here because they could not be checked where this
# file was written.

ARG RUST_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# Dependencies first, on an empty program: this layer is built again only when Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src

# Then the program. Copied files keep their times, which may be older than the empty program's build; `touch` tells
# Cargo that they are new. jobs.yaml is compiled in: `demo` runs it.
COPY jobs.yaml ./
COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked \
    && mkdir -p /image/lake

# Debian 12, as the build stage: the same glibc. `cc` has libgcc; all of these images have CA certificates.
FROM ${RUN_IMAGE}

LABEL org.opencontainers.image.title="auditlake" \
      org.opencontainers.image.description="Pulls audit logs from SaaS APIs into partitioned Parquet in object storage, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY --from=build /build/target/release/auditlake /usr/local/bin/auditlake
COPY LICENSE /usr/share/doc/auditlake/LICENSE
# The repository's own jobs.yaml, which takes its values from the environment. Mount yours over it.
COPY jobs.yaml /etc/auditlake/jobs.yaml
# The image has no shell to make a folder with. A new volume takes its owner from it.
COPY --from=build --chown=65532:65532 /image/lake /lake

# Not loopback: a container's loopback can't be reached by the kubelet, nor through a published port.
# jobs.yaml reads LAKE_URL and AUDITLAKE_LISTEN; one of yours must name them (or its own values) too.
ENV AUDITLAKE_CONFIG=/etc/auditlake/jobs.yaml \
    AUDITLAKE_LISTEN=0.0.0.0:8080 \
    LAKE_URL=file:///lake

# `nonroot`, by number, so that Kubernetes' runAsNonRoot can tell.
USER 65532:65532
WORKDIR /lake
VOLUME ["/lake"]
EXPOSE 8080

# The program writes nowhere but to the lake, so `--read-only` works.
# The daemon is process 1 and handles SIGTERM itself: it needs no init, and exec form so that no shell stands between.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/auditlake", "health"]
ENTRYPOINT ["/usr/local/bin/auditlake"]
CMD ["run"]
