# The image of auditlake: one program, the C library that it is linked with, CA certificates. No shell, no package
# manager, no user but one that is nobody.
#
#   docker build -t auditlake .
#
# Needs nothing of BuildKit: any builder works. `make image-check` builds it without a container engine, starts it, and
# holds what it does against what is said here.

# Not the slim one, which lacks the `make` that builds the allocator. The tag names a minor version. For builds that are
# the same for ever, name a digest (`--build-arg RUST_IMAGE=docker.io/library/rust@sha256:...`).
ARG RUST_IMAGE=docker.io/library/rust:1.95-trixie

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# Dependencies first, on an empty program: this layer is built again only when Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates/auditlake-sim/Cargo.toml crates/auditlake-sim/
COPY crates/protocol-model/Cargo.toml crates/protocol-model/
RUN mkdir -p src benches crates/auditlake-sim/src crates/protocol-model/src \
    && echo 'fn main() {}' | tee src/main.rs > benches/stages.rs \
    && touch src/lib.rs crates/auditlake-sim/src/lib.rs crates/protocol-model/src/lib.rs \
    && cargo build --release --locked \
    && rm -r src

# Then the program. Copied files keep their times, which may be older than the empty program's build; `touch` tells
# Cargo that they are new. jobs.yaml is compiled in: `demo` runs it.
COPY jobs.yaml ./
COPY crates crates
COPY src src
RUN touch src/main.rs src/lib.rs crates/auditlake-sim/src/lib.rs \
    && cargo build --release --locked

# All that is in the image: the program, what it is linked with under the names that the loader looks for, the
# certificates that it trusts, a name for its user, and the licences of all that. Time zones are compiled in.
RUN mkdir -p /image/usr/local/bin /image/etc/auditlake /image/usr/share/doc/auditlake /owned/lake \
    && cp target/release/auditlake /image/usr/local/bin/ \
    && ldd target/release/auditlake | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory=/image \
    && cp --dereference --parents --target-directory=/image /etc/ssl/certs/ca-certificates.crt \
        /usr/share/doc/libc6/copyright /usr/share/doc/libgcc-s1/copyright /usr/share/doc/ca-certificates/copyright \
    && echo 'nonroot:x:65532:65532::/lake:/nonexistent' > /image/etc/passwd \
    && echo 'nonroot:x:65532:' > /image/etc/group
# The repository's own jobs.yaml, which takes its values from the environment. Mount yours over it.
COPY LICENSE /image/usr/share/doc/auditlake/LICENSE
COPY jobs.yaml /image/etc/auditlake/jobs.yaml

FROM scratch

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="auditlake" \
      org.opencontainers.image.description="Pulls audit logs from SaaS APIs into partitioned Parquet in object storage, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /image /
# A new volume takes its owner from the folder that it is mounted on. (The folder is copied with its parent, as builders
# differ in whether a copied folder itself is given the owner.)
COPY --from=build --chown=65532:65532 /owned /

# Not loopback: a container's loopback can't be reached by the kubelet, nor through a published port.
# jobs.yaml reads LAKE_URL and AUDITLAKE_LISTEN; one of yours must name them (or its own values) too.
ENV AUDITLAKE_CONFIG=/etc/auditlake/jobs.yaml \
    AUDITLAKE_LISTEN=0.0.0.0:8080 \
    LAKE_URL=file:///lake \
    PATH=/usr/local/bin

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
