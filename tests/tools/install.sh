#!/usr/bin/env bash
# Installs what the tests need and this machine lacks.
#
#   Debian packages   chromium and fonts for the browser tests, node and npm, python3 with venv, systemd for its
#                     systemd-analyze (apt, as root or with sudo); iproute2 for root; buildah if it can be had
#   .tools/venv       a Python environment with requirements.txt
#   .tools/node       npm packages of package-lock.json
#   .tools/prometheus Prometheus and promtool, out of Debian's package; no service is installed
#
# Quick when all is there: .tools/stamp holds the checksum of what was asked for. Whether buildah is to be had is tried once,
# which .tools/buildah-tried says.
# CHROMIUM=/path/to/a/browser uses that one and installs none.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly here=tests/tools
readonly tools=.tools
readonly browser=${CHROMIUM:-/usr/bin/chromium}

say() { printf 'install: %s\n' "$*"; }
fail() {
    printf 'install: %s\n' "$@" >&2
    exit 1
}

# The Debian packages that are wanting, one a line.
wanting() {
    if [[ ! -x $browser ]]; then
        # A browser named by hand is the caller's to provide.
        if [[ -n ${CHROMIUM:-} ]]; then
            fail "CHROMIUM=$CHROMIUM is not a program that can be run"
        fi
        printf '%s\n' chromium fonts-dejavu-core fonts-noto-core fonts-noto-color-emoji
    fi
    command -v node >/dev/null || printf 'nodejs\n'
    command -v npm >/dev/null || printf 'npm\n'
    # With which root makes a link that can be cut.
    [[ $(id -u) -ne 0 ]] || PATH=$PATH:/usr/sbin command -v ip >/dev/null || printf 'iproute2\n'
    # Debian ships the venv module without ensurepip unless python3-venv is there.
    python3 -c 'import venv, ensurepip' 2>/dev/null || printf '%s\n' python3 python3-venv
    command -v systemd-analyze >/dev/null || printf 'systemd\n'
}

# Runs a command as root, if need be by sudo.
as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

install_debian_packages() {
    local packages
    packages=$(wanting)
    [[ -n $packages ]] || return 0
    # shellcheck disable=SC2206 # one word a package is meant
    packages=($packages)
    local remedy="Install it by hand: apt-get install ${packages[*]}  (or, for the browser, set CHROMIUM to one that is there)"
    command -v apt-get >/dev/null ||
        fail "missing on this machine: ${packages[*]}" "there is no apt-get here. $remedy"
    as_root true ||
        fail "missing on this machine: ${packages[*]}" \
            "installing it needs root, and neither are we root nor does sudo work without a password. $remedy"
    say "apt-get install ${packages[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
        say "apt-get update failed; trying with the lists that are there"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
        fail "apt-get could not install: ${packages[*]}" "$remedy"
}

# Wanted and not needed: without it the test of the image says that it was not run.
install_image_builder() {
    command -v buildah >/dev/null && return
    if [[ ! -e $tools/buildah-tried ]] && command -v apt-get >/dev/null && as_root true; then
        say 'apt-get install buildah'
        local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::http::Timeout=10 -o Acquire::Retries=0)
        as_root "${apt[@]}" update || true
        as_root "${apt[@]}" install -y --no-install-recommends buildah >/dev/null || true
        mkdir -p "$tools"
        touch "$tools/buildah-tried"
    fi
    command -v buildah >/dev/null || say "there is no buildah, and none to be had: no image will be built (to try again, remove $tools/buildah-tried)"
}

# What the folders under .tools are made from.
checksum() {
    cat "$here/install.sh" "$here/requirements.txt" "$here/package-lock.json" | sha256sum | cut -d' ' -f1
}

install_python_packages() {
    say "Python packages into $tools/venv"
    rm -rf "$tools/venv"
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --retries 3 --timeout 60 -r "$here/requirements.txt" ||
        fail "pip could not install $here/requirements.txt: is PyPI (or the mirror pip is configured for) reachable?"
}

install_node_packages() {
    say "npm packages into $tools/node"
    rm -rf "$tools/node"
    mkdir -p "$tools/node"
    cp "$here/package.json" "$here/package-lock.json" "$tools/node/"
    (cd "$tools/node" && npm ci --silent --no-audit --no-fund --ignore-scripts) ||
        fail "npm could not install $here/package-lock.json: is the npm registry reachable?"
}

# Out of the package, so that none of its services is set up or started.
install_prometheus() {
    say "Prometheus into $tools/prometheus"
    rm -rf "$tools/prometheus"
    mkdir -p "$tools/prometheus/package"
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        ln -s "$(command -v prometheus)" "$(command -v promtool)" "$tools/prometheus/"
    else
        (
            cd "$tools/prometheus/package" &&
                { apt-get download -qq prometheus 2>/dev/null ||
                    { as_root apt-get update -qq && apt-get download -qq prometheus; }; } &&
                dpkg-deb -x prometheus_*.deb . &&
                mv usr/bin/prometheus usr/bin/promtool ..
        ) || fail "could not get Debian's package prometheus, nor are prometheus and promtool in the PATH"
    fi
    rm -rf "$tools/prometheus/package"
}

install_debian_packages
install_image_builder
readonly wanted=$(checksum)
if [[ $(cat "$tools/stamp" 2>/dev/null) == "$wanted" && -x $tools/venv/bin/python && -d $tools/node/node_modules && -x $tools/prometheus/promtool ]]; then
    say "everything is in place"
    exit 0
fi
mkdir -p "$tools"
rm -f "$tools/stamp"
install_python_packages
install_node_packages
install_prometheus
printf '%s\n' "$wanted" >"$tools/stamp"
say "done"
