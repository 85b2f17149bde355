# One image: the binaries, the contracts, the SQL and the checks. It runs as a user without rights on a read-only root
# filesystem and writes only to the lake and to /tmp.
#   docker build -t windrow .                                                   every binary, `windrow` is the entry point
#   docker build -t orders --build-arg BIN=orders_raw_to_clean .                one job and nothing else
#   docker build -t windrow --build-arg WINDROW_GIT=$(git rev-parse --short=12 HEAD) .   the commit, which stands in every claim
# BUILDER needs Rust 1.95 or later, a C compiler and make. BASE needs glibc as old as the builder's or newer, and libgcc; it needs no
# shell and no package. Both can be images of your own registry.
ARG BUILDER=rust:1.95-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILDER} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY lib lib
COPY jobs jobs
COPY tests/it tests/it
COPY benches benches
COPY docker docker
COPY schemas schemas
COPY quality quality
COPY examples examples
COPY windrow.toml ./
ARG WINDROW_GIT=
ARG BIN=all
ARG PROFILE=dist
# The layout script is the last word of the build: what it puts below /out is all that the image takes from this stage.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    WINDROW_GIT=${WINDROW_GIT} cargo build --locked --profile "${PROFILE}" --bins \
    && sh docker/layout.sh "target/${PROFILE}" /out "${BIN}"

# hadolint ignore=DL3006
FROM ${BASE}
ARG WINDROW_GIT=
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="windrow" \
      org.opencontainers.image.description="Windowed raw to clean to curated transforms on plain Parquet, without Spark" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${WINDROW_GIT}"
COPY --from=build /out/ /
COPY windrow.toml /project/
COPY schemas /project/schemas
COPY jobs/sql /project/jobs/sql
COPY quality /project/quality
# The one folder that is written: curated inputs on S3 are read through a temporary copy. As a volume it stays writable on a
# read-only root, and ECS keeps its mode (1777) when a task definition mounts a volume at the same path.
VOLUME ["/tmp"]
WORKDIR /project
USER 65532:65532
ENV WINDROW_PROJECT=/project WINDROW_OUTPUT=json WINDROW_LOG_FORMAT=json WINDROW_METRICS=emf WINDROW_LINEAGE=lake
# SQL reads one row group of a file ahead instead of 16: as fast here, in half the memory (docs/adr/0018).
ENV POLARS_ROW_GROUP_PREFETCH_SIZE=1
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/job"]
