#!/bin/sh
# Runs cargo for the architecture that the image is built for, with what a cross build needs in its environment.
set -eu

gnu=$(cat /etc/gnu-target)
target=${gnu%%-*}-unknown-linux-gnu
name=$(echo "$target" | tr a-z- A-Z_)

# A private certificate authority: from the build secret, which somebody asked for, else from the context, else none.
for bundle in /run/secrets/ca /src/ca-certificates.crt; do
  if [ -s "$bundle" ]; then
    export CARGO_HTTP_CAINFO="$bundle" SSL_CERT_FILE="$bundle"
    break
  fi
done

export "CARGO_TARGET_${name}_LINKER=$gnu-gcc"
export PKG_CONFIG_ALLOW_CROSS=1
export PKG_CONFIG_LIBDIR="/usr/lib/$gnu/pkgconfig:/usr/share/pkgconfig"
export BINDGEN_EXTRA_CLANG_ARGS="--target=$gnu"
exec cargo "$@" --target "$target"
