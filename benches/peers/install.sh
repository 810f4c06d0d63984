#!/usr/bin/env bash
# Puts the servers that the load tool compares with into .tools/peers: Bun and ws from npm, nginx and nchan from Debian. The latter
# are unpacked and not installed, so that no service is started. nchan has nginx ask for a folder in /var/lib, which needs root once.
#
# Quick when all is there: .tools/peers/stamp holds the checksum of what was asked for.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly here=benches/peers
readonly there=.tools/peers

fail() {
    printf 'peers: %s\n' "$*" >&2
    exit 1
}

wanted=$(cat "$here/install.sh" "$here/package-lock.json" | sha256sum | cut -d' ' -f1)
if [[ $(cat "$there/stamp" 2>/dev/null) == "$wanted" ]]; then
    printf 'peers: everything is in place\n'
    exit 0
fi
command -v npm >/dev/null || fail 'npm is missing: bash tests/tools/install.sh'
command -v apt-get >/dev/null || fail 'there is no apt-get here, and so no nginx with nchan'
rm -rf "$there"
mkdir -p "$there/nginx"
cp "$here/package.json" "$here/package-lock.json" "$there/"
(cd "$there" && npm ci --silent --no-audit --no-fund --ignore-scripts) ||
    fail "npm could not install $here/package-lock.json: is the npm registry reachable?"
(
    cd "$there/nginx"
    apt-get download -qq -o APT::Sandbox::User=root nginx libnginx-mod-nchan
    for package in *.deb; do dpkg -x "$package" .; done
    rm -- *.deb
) || fail 'apt-get could not download nginx and libnginx-mod-nchan'
if [[ ! -w /var/lib/nginx ]]; then
    as_root=()
    [[ $(id -u) -eq 0 ]] || as_root=(sudo -n)
    "${as_root[@]}" install -d -o "$(id -u)" /var/lib/nginx || fail '/var/lib/nginx is missing, which nginx with nchan needs'
fi
printf '%s\n' "$wanted" >"$there/stamp"
printf 'peers: done\n'
