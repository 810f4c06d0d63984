#!/usr/bin/env bash
# Builds the static binary for this machine's architecture and prints where it is.
#
#   static.sh [PROFILE]     dist (the default): what is shipped, small and slow to build; dev: quick, for tests
set -euo pipefail
cd "$(dirname "$0")/.."

readonly profile=${1:-dist}
source packaging/static-flags.sh

# Has the linker make it smaller, by what it can and what the C library understands: a tiny program with it has to run.
shrink() {
    local flag probe=$target/static-probe
    mkdir -p "$target"
    # Functions of the same code are one; relocations are packed.
    for flag in -Wl,--icf=all -Wl,-z,pack-relative-relocs; do
        # shellcheck disable=SC2086 # several flags
        if printf 'fn main() {}\n' | rustc --target "$host" $static_flags -C link-arg="$flag" -o "$probe" - >/dev/null 2>&1 &&
            "$probe" 2>/dev/null; then
            static_flags+=" -C link-arg=$flag"
        fi
    done
    # AES in 512 bits at once is 700 KB of code, beside that in 256, which does some GB a second too.
    export CFLAGS="${CFLAGS:+$CFLAGS }-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX"
}

target=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
if [[ $profile == dist ]]; then
    shrink
fi
RUSTFLAGS=$static_flags \
    cargo build --locked --profile "$profile" --target "$host" --bin chat-room >&2
# cargo puts what the profile dev makes into a folder of another name.
printf '%s/%s/%s/chat-room\n' "$target" "$host" "${profile/#dev/debug}"
