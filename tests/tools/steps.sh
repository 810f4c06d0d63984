#!/usr/bin/env bash
# Runs the steps of `make test` or `make prove`, one after the other, each within a time limit, and says how long each took.
# The first step that fails ends the run.
#
#   steps.sh test     what must hold at every change; ends inside 30 minutes on two cores from a clean clone
#   steps.sh prove    the long tier, before a release
#
# In the environment, for `prove`: PROPTEST_CASES (default 20000), REPEATS of the suite (10), SECONDS_OF_LOAD a bench run (30),
# SECONDS_OF_SOAK (600), MINUTES_OF_CHAOS (120), FUZZ_SECONDS a target (600), KILLS of the program on a folder (300),
# POWER_FAILURES of a medium that forgets (2000).
set -euo pipefail
cd "$(dirname "$0")/../.."

# The same flags for every step, also those of link_statically: nothing is built twice.
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
export RUST_BACKTRACE=${RUST_BACKTRACE:-1}

names=()
times=()

summary() {
    local index
    printf '\n%-34s %9s\n' step seconds
    for index in "${!names[@]}"; do
        printf '%-34s %9s\n' "${names[$index]}" "${times[$index]}"
    done
    printf '%-34s %9s\n' together "$SECONDS"
}

# step NAME LIMIT COMMAND...: LIMIT as `timeout` takes it.
step() {
    local name=$1 limit=$2 code=0 start elapsed
    shift 2
    printf '\n── %s\n' "$name"
    start=$(date +%s%N)
    timeout --kill-after=10s "$limit" "$@" || code=$?
    elapsed=$((($(date +%s%N) - start) / 100000000))
    elapsed=$((elapsed / 10)).$((elapsed % 10))
    names+=("$name")
    times+=("$elapsed")
    if [[ $code -eq 0 ]]; then
        printf '── %s: %s s\n' "$name" "$elapsed"
        return
    fi
    summary
    if [[ $code -eq 124 || $code -eq 137 ]]; then
        printf '\nFAILED: %s did not end within %s\n' "$name" "$limit" >&2
    else
        printf '\nFAILED: %s (exit code %s)\n' "$name" "$code" >&2
    fi
    printf 'the command was: %s\n' "$*" >&2
    exit 1
}

# The tests of the package, by nextest where it is there. It starts each test in a process of its own, so a crash names its test.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --no-fail-fast "$@"
    else
        cargo test --no-fail-fast --lib --bins --tests -- "$@"
    fi
}
export -f run_tests

# Every fuzz target for so many seconds, as many at once as there are cores. A failure prints its seed.
run_fuzzing() {
    local seconds=$1
    # Not by nextest, which ends what takes minutes. Time is the limit, not the number of inputs.
    BOLERO_RANDOM_TEST_TIME_MS=$((seconds * 1000)) BOLERO_RANDOM_ITERATIONS=1000000000000 cargo test --lib -- fuzz:: --nocapture
}
export -f run_fuzzing

# What is shipped: static, small, all that it needs in an empty root and in the image, and true in what is said of it.
run_shipped() {
    local binary bytes
    binary=$(bash packaging/dist.sh)
    binary=${binary%%$'\n'*}
    bytes=$(stat --format=%s "$binary")
    printf '%s: %s bytes\n' "$binary" "$bytes"
    (cd "$(dirname "$binary")" && sha256sum --check "$binary.sha256")
    .tools/venv/bin/python tests/tools/check_dist.py "$binary"
    CHAT_ROOM_STATIC=$binary cargo test --test suite -- container:: --nocapture
    # 12 MB is what one file to download may have.
    [[ $bytes -le 12000000 ]] || { printf 'it has more than 12 MB\n' >&2; return 1; }
}
export -f run_shipped

# The page's own modules, by node's test runner.
run_page_tests() {
    local files
    mapfile -t files < <(find tests/page -name '*.test.*js' | sort)
    if [[ ${#files[@]} -eq 0 ]]; then
        printf 'there is no tests/page/*.test.js: the tests of the page are missing\n' >&2
        return 1
    fi
    node --test "${files[@]}"
}
export -f run_page_tests

# Has everything built static from here on, where this machine can link so: what is tested is then the very program that runs
# in an empty root and in the image, and the tests there need no build of their own. The default build, which links the C library
# dynamically, is then not what `make test` tests; `make prove` does not call this, and tests that one.
link_statically() {
    local folder host static_flags
    source packaging/static-flags.sh
    # Elsewhere the same flags are taken, and mean nothing.
    if [[ $host != *-linux-* ]]; then
        printf 'NOT RUN: no static program on %s, so the tests in an empty root and in an image have none\n' "$host"
        return
    fi
    folder=$(mktemp -d)
    # shellcheck disable=SC2086 # several flags are meant
    if printf 'fn main() {}\n' | rustc --target "$host" $static_flags -o "$folder/probe" - && "$folder/probe"; then
        export CARGO_BUILD_TARGET=$host RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$static_flags"
        printf 'everything is built static, for %s\n' "$host"
    else
        printf 'NOT RUN: this machine links no static program, so the tests in an empty root and in an image have none\n'
    fi
    rm -rf "$folder"
}

need() {
    cargo "$1" --version >/dev/null 2>&1 && return
    printf 'cargo %s is missing: rustup component add %s\n' "$1" "$2" >&2
    exit 1
}

everyday() {
    need fmt rustfmt
    need clippy clippy
    link_statically
    step 'tools' 15m bash tests/tools/install.sh
    step 'format' 1m cargo fmt --check
    step 'lints' 15m cargo clippy --all-targets -- -D warnings
    # With what is private: the stages' docs link to it, and those links are checked too.
    step 'docs' 10m env RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items
    step 'tests of the page' 2m bash -c run_page_tests
    step 'build' 15m cargo test --no-run --all-targets
    step 'tests' 15m bash -c run_tests
    step 'chaos, short' 5m cargo test --test chaos -- --seconds 60 --seed 7
    step 'chaos, short, https' 5m cargo test --test chaos -- --seconds 60 --seed 8 --tls
    step 'chaos that shows repeats' 3m cargo test --test chaos -- --seconds 20 --seed 9 --show-repeats
    step 'examples in the docs' 5m cargo test --doc
    step 'benches, smoke' 5m cargo test --benches
}

long() {
    local repeats=${REPEATS:-10} seconds=${SECONDS_OF_LOAD:-30} round
    step 'tools' 15m bash tests/tools/install.sh
    step 'build' 20m cargo test --no-run --all-targets
    step 'fuzzing' 6h bash -c "run_fuzzing ${FUZZ_SECONDS:-600}"
    # New seeds each time: a failure prints its own.
    step 'kill -9' 2h env CRASH_ROUNDS="${KILLS:-300}" CRASH_SEED="$RANDOM" cargo test --test suite -- durable::crash --nocapture
    step 'power failures' 2h env DURABLE_SEEDS="$((${POWER_FAILURES:-2000} / 4))" DURABLE_SEED="$RANDOM" DURABLE_FLIPS=2000 \
        cargo test --lib -- durable::tests --nocapture --skip fuzz::
    step 'kinesis-local, differences' 15m cargo test --test suite -- --ignored kinesis_local_differs
    step 'property tests, long' 3h env PROPTEST_CASES="${PROPTEST_CASES:-20000}" cargo test --lib
    for ((round = 1; round <= repeats; round++)); do
        step "suite, round $round" 20m bash -c run_tests
    done
    local minutes=${MINUTES_OF_CHAOS:-120}
    for ((round = 1; round * 20 <= minutes; round++)); do
        step "chaos, round $round" 20m cargo test --test chaos -- --seconds 600 --seed "$RANDOM"
        step "chaos, https, round $round" 20m cargo test --test chaos -- --seconds 600 --seed "$RANDOM" --tls
    done
    step 'build, release' 30m cargo bench --no-run
    step 'micro benches' 2h cargo bench --benches
    step 'peers' 15m bash benches/peers/install.sh
    # Server and load tool on cores of their own, as all figures of this project are taken.
    local cores=()
    [[ $(nproc) -lt 2 ]] || cores=(--server-cores 0 --client-cores 1)
    load() {
        local name=$1
        shift
        step "load: $name" 1h cargo bench --bench load -- --seconds "$seconds" "${cores[@]}" "$@"
    }
    local peers=bun,nchan,ws,write
    load 'low' --viewers 1000 --rate 20 --against "$peers"
    load 'flat out' --viewers 1000 --rate flat --against "$peers"
    load 'wide' --viewers 10000 --rate 20 --against "$peers"
    load 'idle room' --viewers 1 --publishers 1 --rate 20
    load 'low, v1' --viewers 1000 --rate 20 --encoding v1
    load 'flat out, v1' --viewers 1000 --rate flat --encoding v1
    load 'compression' --viewers 1000 --rate 200 --compression
    load 'half stalled' --viewers 2000 --rate 200 --text 2000 --stalled 0.5
    load 'newcomers' --viewers 1000 --rate 50 --newcomers 10000
    load 'viewers' --rate 5 --vary viewers=1000,2000,5000,10000,18000
    load 'rooms' --viewers 10000 --rate 2 --vary rooms=1,10,100,1000
    load 'sweeps' --rate 500 --vary sweep=0,5,20,50
    load 'ramp' --viewers 1000 --rate 100 --ramp 25ms
    seconds=${SECONDS_OF_SOAK:-600} load 'soak' --viewers 2000 --rate 50 --soak
    step 'static binary' 45m bash -e -c run_shipped
}

case ${1:-} in
test) everyday ;;
prove) long ;;
*)
    printf 'usage: %s test|prove\n' "$0" >&2
    exit 2
    ;;
esac
summary
printf '\nall is well\n'
