#!/usr/bin/env bash
# Builds the static binary for this machine's architecture and prints where it is.
#
#   static.sh [PROFILE]     dist (the default): what is shipped, small and slow to build; dev: quick, for tests
#
# An explicit target keeps its flags from what only runs during the build, and its files apart from those of other builds.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly profile=${1:-dist}
host=$(rustc -vV | sed -n 's/^host: //p')
target=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
# In a static program getrandom looks for glibc's function in vain and then for /dev/urandom, which an empty root lacks: it
# is to make the system call.
RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    cargo build --locked --profile "$profile" --target "$host" --bin chat-room >&2
# cargo puts what the profile dev makes into a folder of another name.
printf '%s/%s/%s/chat-room\n' "$target" "$host" "${profile/#dev/debug}"
