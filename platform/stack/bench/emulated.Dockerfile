# `cargo xtask bench build --emulated`: one dependency of the service, compiled on the processor that TARGETPLATFORM names.
# The context has the workspace's manifest and lock file, and a manifest of the service with that dependency alone.

ARG BASE=debian:trixie-slim
FROM $BASE AS tools
ENV DEBIAN_FRONTEND=noninteractive
# hadolint ignore=DL3008
RUN set -eu; \
    apt-get update -qq; \
    apt-get install -y -qq --no-install-recommends ca-certificates cargo-web gcc libc6-dev rustc-web >/dev/null; \
    rm -rf /var/lib/apt/lists/*; \
    gcc -dumpmachine > /etc/gnu-target

FROM tools AS fetch
WORKDIR /src
COPY Cargo.toml Cargo.lock ca-certificates.cr[t] ./
COPY ocr-service/Cargo.toml ocr-service/
COPY ocr-service/image/cargo.sh /usr/local/bin/cargo-for-target
RUN set -eu; \
    sed -i 's/^members = .*/members = ["ocr-service"]/; /^platen-/d' Cargo.toml; \
    mkdir ocr-service/src; \
    touch ocr-service/src/lib.rs; \
    sh /usr/local/bin/cargo-for-target fetch

# The only stage that is timed. BEGUN is another one each time: what was compiled before is compiled again.
FROM fetch AS compile
ARG BEGUN
RUN sh /usr/local/bin/cargo-for-target build --profile image --offline

# Something small to push.
FROM scratch
COPY --from=compile /etc/gnu-target /
