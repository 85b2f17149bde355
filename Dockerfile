# The image holds every binary, the contracts, the SQL and the checks; it runs as a user without rights and writes only to the lake.
#   docker build -t windrow .                              all binaries
#   docker build -t orders --build-arg BIN=orders_raw_to_clean .   one job as the entry point
#   docker build --build-arg WINDROW_GIT=$(git rev-parse --short=12 HEAD) .          the commit, which stands in every claim
# BASE and BUILDER can be any images of your own registry; the builder needs Rust 1.95+ and a C compiler.
ARG BUILDER=rust:1.95-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY lib lib
COPY jobs jobs
COPY tests tests
COPY benches benches
COPY schemas schemas
COPY quality quality
COPY examples examples
COPY windrow.toml ./
ARG WINDROW_GIT=
RUN WINDROW_GIT=${WINDROW_GIT} cargo build --locked --profile dist --bins

FROM ${BASE}
ARG BIN=windrow
COPY --from=build /src/target/dist/windrow /src/target/dist/orders_raw_to_clean /src/target/dist/orders_clean_to_curated /usr/local/bin/
COPY --from=build /src/target/dist/${BIN} /usr/local/bin/job
COPY windrow.toml /project/
COPY schemas /project/schemas
COPY jobs/sql /project/jobs/sql
COPY quality /project/quality
WORKDIR /project
USER 65532:65532
ENV WINDROW_PROJECT=/project WINDROW_LOG_FORMAT=json WINDROW_OUTPUT=json
ENTRYPOINT ["/usr/local/bin/job"]
