#!/bin/sh
# Runs a target of fuzz/ by libFuzzer, on the stable compiler: scripts/fuzz.sh TARGET [SECONDS]
set -eu
cd "$(dirname "$0")/.."
targets=$(for it in fuzz/fuzz_targets/*.rs; do basename "$it" .rs; done)
if ! [ -f "fuzz/fuzz_targets/${1:-}.rs" ]; then
    echo "usage: scripts/fuzz.sh TARGET [SECONDS]; targets: $(echo "$targets" | tr '\n' ' ')" >&2
    exit 2
fi
target=$1
seconds=${2:-120}
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz asks of the compiler, without what only nightly knows: sanitizers, of no use to code without `unsafe`.
# The host is named so that build scripts and macros are compiled without it.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --locked --manifest-path fuzz/Cargo.toml --target "$host" --target-dir target/fuzz --bin "$target"
corpus="fuzz/corpus/$target"
mkdir -p "$corpus" fuzz/artifacts
set -- "$corpus"
case $target in
    image_header) set -- "$@" ocr-service/tests/data ;;
    *) if [ -f "fuzz/$target.dict" ]; then set -- "$@" "-dict=fuzz/$target.dict"; fi ;;
esac
exec "target/fuzz/$host/debug/$target" "$@" -artifact_prefix=fuzz/artifacts/ -timeout=20 "-max_total_time=$seconds"
