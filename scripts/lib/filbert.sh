# Sourced by the other scripts: sets `filbert` to the program they run. That is $FILBERT if it is set, else the
# release build of this checkout, built now when it is missing or older than its sources.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 2; }

# need PROGRAM WHAT-FOR
need() { command -v "$1" >/dev/null || fail "$1 is missing, needed to $2; install it with your system's packages and run again"; }

find_filbert() {
  if [ -n "${FILBERT:-}" ]; then
    [ -x "$FILBERT" ] || fail "FILBERT is $FILBERT, which is no program; build it or unset FILBERT"
    filbert=$(cd "$(dirname "$FILBERT")" && pwd)/$(basename "$FILBERT")
    return
  fi
  filbert=${CARGO_TARGET_DIR:-$root/target}/release/filbert
  if [ -x "$filbert" ] && [ -z "$(find "$root/src" "$root/Cargo.toml" "$root/Cargo.lock" -newer "$filbert" -print -quit)" ]; then
    return
  fi
  command -v cargo >/dev/null || fail "cargo is missing: install the Rust toolchain (https://rustup.rs) and run again, or set FILBERT to a built filbert"
  printf 'Building filbert (the first time takes some minutes)...\n' >&2
  cargo build --release --locked --quiet --bin filbert --manifest-path "$root/Cargo.toml" ||
    fail "the build failed; what it said stands above"
}

# A topology by path, or by the name of one in topology-configs, or a shape such as ring:12.
find_topology() {
  if [ ! -e "$1" ] && [ -e "$root/topology-configs/${1%.json}.json" ]; then
    printf '%s\n' "$root/topology-configs/${1%.json}.json"
  else
    printf '%s\n' "$1"
  fi
}
