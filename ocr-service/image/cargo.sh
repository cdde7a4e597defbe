#!/bin/sh
# Runs cargo for the architecture that the image is built for, with what a cross build needs in its environment.
set -eu

gnu=$(cat /etc/gnu-target)
target=${gnu%%-*}-unknown-linux-gnu
name=$(echo "$target" | tr a-z- A-Z_)

# A private certificate authority: from the context, else from the build secret, else none.
for bundle in /src/ca-certificates.crt /run/secrets/ca; do
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
