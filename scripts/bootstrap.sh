#!/bin/sh
# Gives a bare Debian or Ubuntu machine what Platen itself is compiled with; `cargo xtask up` installs the rest.
set -eu
if ! command -v cc >/dev/null; then
    sudo=
    if [ "$(id -u)" -ne 0 ]; then sudo=sudo; fi
    $sudo apt-get update
    $sudo apt-get install -y --no-install-recommends build-essential ca-certificates curl
fi
if ! command -v cargo >/dev/null && ! [ -x "$HOME/.cargo/bin/cargo" ]; then
    curl --proto '=https' --tlsv1.2 --fail --silent --show-error https://sh.rustup.rs | sh -s -- -y --profile default
fi
PATH="$HOME/.cargo/bin:$PATH"
cd "$(dirname "$0")/.."
cargo xtask "${@:---help}"
