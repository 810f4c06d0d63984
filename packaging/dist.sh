#!/usr/bin/env bash
# Makes what is handed out, for this machine's architecture, in a folder of target/dist: the static binary, the licences of what
# is in it, the list of its parts (SBOM, CycloneDX), and checksums.
#
#   dist.sh [PROFILE]     as static.sh takes it
#
# The tools that read the dependencies are installed into .tools/cargo, unless they are there in these versions.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly profile=${1:-dist}
readonly about=0.9.3 cyclonedx=0.5.9
source packaging/static-flags.sh
readonly host
tools=$PWD/.tools/cargo

say() { printf 'dist: %s\n' "$*" >&2; }
fail() {
    printf 'dist: %s\n' "$@" >&2
    exit 1
}

# tool NAME VERSION [FLAG...]
tool() {
    local name=$1 version=$2
    shift 2
    # What cargo says of what it has installed, so that a copy cut short does not count.
    if [[ -x $tools/bin/$name ]] && cargo install --list --root "$tools" | grep -qx "$name v$version:"; then
        return
    fi
    say "installing $name $version into .tools/cargo: some minutes, once"
    # In a folder of its own, and with none of the flags that are meant for the program.
    env -u CARGO_TARGET_DIR -u CARGO_BUILD_TARGET -u RUSTFLAGS \
        cargo install --quiet --locked --root "$tools" --version "$version" "$@" "$name" >&2 ||
        fail "cannot install $name: is crates.io (or the mirror that cargo is configured for) reachable?" \
            "On a machine that is, run: cargo install --locked --root .tools/cargo --version $version $* $name" \
            "and copy .tools/cargo to this one."
}

tool cargo-about "$about" --features cli
tool cargo-cyclonedx "$cyclonedx"

cargo fetch --locked >&2 ||
    fail "cannot get the dependencies: run \`cargo fetch --locked\` where crates.io (or a mirror) is reachable, and copy \$CARGO_HOME/registry"

metadata=$(cargo metadata --no-deps --offline --format-version 1)
target=$(sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p' <<<"$metadata")
version=$(cargo pkgid --offline | sed 's/.*[#@]//')
# cargo keeps files of its own in target/dist.
readonly name=chat-room-$version-$host
readonly out=$target/dist/$name
work=$(mktemp -d)
# cargo-cyclonedx writes beside Cargo.toml.
trap 'rm -rf "$work" "$name.gathered.json"' EXIT
rm -rf "$out"
mkdir -p "$out"

say 'licences'
"$tools/bin/cargo-about" about generate --frozen --fail --target "$host" --config packaging/about.toml --format json --output-file "$work/about.json" >&2 ||
    fail 'a licence is missing, or not among those of packaging/about.toml'
python3 packaging/parts.py licences "$host" <"$work/about.json" >"$out/$name.licences.txt"

say 'parts'
# The same sources give the same list: by the time of the last change, and without a number made up for each run.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)} \
    "$tools/bin/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --target "$host" --all --no-build-deps \
    --override-filename "$name.gathered" >&2
mv "$name.gathered.json" "$work/gathered.json"
python3 packaging/parts.py sbom "$host" <"$work/gathered.json" >"$out/$name.cdx.json"

say 'binary'
cp "$(bash packaging/static.sh "$profile")" "$out/$name"
(cd "$out" && sha256sum "$name" "$name.licences.txt" "$name.cdx.json" >"$name.sha256")
printf '%s\n' "$out/$name" "$out/$name.licences.txt" "$out/$name.cdx.json" "$out/$name.sha256"
