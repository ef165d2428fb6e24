# auditlake's image: the program, the C library that it is linked with, and CA certificates. It has no shell, no package
# manager, and only an unprivileged user.
#
#   docker build -t auditlake .
#
# It doesn't need BuildKit: any builder works. `make image-check` builds and starts it without a container engine, and
# verifies these comments.

# Not the slim image, which lacks `make` for building the allocator. The tag names a minor version. For reproducible
# builds, specify a digest (`--build-arg RUST_IMAGE=docker.io/library/rust@sha256:...`).
ARG RUST_IMAGE=docker.io/library/rust:1.95-trixie

FROM ${RUST_IMAGE} AS build
WORKDIR /build

# Dependencies first, with an empty program: this layer is rebuilt only when Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates/auditlake-sim/Cargo.toml crates/auditlake-sim/
COPY crates/protocol-model/Cargo.toml crates/protocol-model/
RUN mkdir -p src benches crates/auditlake-sim/src crates/protocol-model/src \
    && echo 'fn main() {}' | tee src/main.rs > benches/stages.rs \
    && touch src/lib.rs crates/auditlake-sim/src/lib.rs crates/protocol-model/src/lib.rs \
    && cargo build --release --locked \
    && rm -r src

# Then the program. Copied files keep their modification times, which may be older than the empty program's build; `touch`
# makes Cargo rebuild them. jobs.yaml is compiled in for `demo`.
COPY jobs.yaml ./
COPY crates crates
COPY src src
RUN touch src/main.rs src/lib.rs crates/auditlake-sim/src/lib.rs \
    && cargo build --release --locked

# The image's content: the program, its shared libraries under the names that the loader expects, CA certificates, a name
# for its user, and the licences. Time zones are compiled in.
RUN mkdir -p /image/usr/local/bin /image/etc/auditlake /image/usr/share/doc/auditlake /owned/lake \
    && cp target/release/auditlake /image/usr/local/bin/ \
    && ldd target/release/auditlake | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory=/image \
    && cp --dereference --parents --target-directory=/image /etc/ssl/certs/ca-certificates.crt \
        /usr/share/doc/libc6/copyright /usr/share/doc/libgcc-s1/copyright /usr/share/doc/ca-certificates/copyright \
    && echo 'nonroot:x:65532:65532::/lake:/nonexistent' > /image/etc/passwd \
    && echo 'nonroot:x:65532:' > /image/etc/group
# The repository's jobs.yaml, which takes its values from the environment. Mount yours over it.
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
# A new volume inherits its owner from the folder that it is mounted on. (The folder is copied with its parent, because
# builders differ in whether --chown applies to the copied folder itself.)
COPY --from=build --chown=65532:65532 /owned /

# Not loopback: neither the kubelet nor a published port can reach a container's loopback.
# jobs.yaml uses LAKE_URL and AUDITLAKE_LISTEN; your own must use them too, or set its own values.
ENV AUDITLAKE_CONFIG=/etc/auditlake/jobs.yaml \
    AUDITLAKE_LISTEN=0.0.0.0:8080 \
    LAKE_URL=file:///lake \
    PATH=/usr/local/bin

# `nonroot`, by number, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
WORKDIR /lake
VOLUME ["/lake"]
EXPOSE 8080

# The program writes only to the lake, so `--read-only` works.
# The daemon is process 1 and handles SIGTERM itself: it needs no init, and the exec form avoids a shell in between.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/auditlake", "health"]
ENTRYPOINT ["/usr/local/bin/auditlake"]
CMD ["run"]
