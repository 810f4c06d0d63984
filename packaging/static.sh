#!/usr/bin/env bash
# Builds the static binary for this machine's architecture and prints where it is.
#
#   static.sh [PROFILE]     dist (the default): what is shipped, small and slow to build; dev: quick, for tests
set -euo pipefail
cd "$(dirname "$0")/.."

readonly profile=${1:-dist}
source packaging/static-flags.sh
target=$(cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
RUSTFLAGS=$static_flags \
    cargo build --locked --profile "$profile" --target "$host" --bin chat-room >&2
# cargo puts what the profile dev makes into a folder of another name.
printf '%s/%s/%s/chat-room\n' "$target" "$host" "${profile/#dev/debug}"
