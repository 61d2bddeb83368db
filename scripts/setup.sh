#!/usr/bin/env bash
# setup.sh runtime|loadtest|dev: makes .venv from the lock file, once; a second call with the same lock costs milliseconds.
# Environment: PYTHON (default: the first of python3, python3.13, python3.12, python3.11 that is new enough).
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-runtime}
venv=${VENV:-.venv}
lock=requirements/$kind.lock
stamp=$venv/.installed-$kind

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

find_python() {
    local p
    for p in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        command -v "$p" >/dev/null && "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && { echo "$p"; return; }
    done
    fail "Python 3.11 or newer is needed and none was found. Install it (sudo apt install python3 python3-venv) or set PYTHON=/path/to/python."
}

make_venv() {
    local python; python=$(find_python)
    say "Making $venv with $($python --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 && return
    rm -rf "$venv"
    # Debian and Ubuntu keep the venv module's pip in a package of its own
    local package; package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing $package, which this Python needs to make an environment"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
        "$python" -m venv "$venv" && return
    fi
    fail "this Python cannot make a virtual environment. Install it with: sudo apt install $package"
}

need_openmp() {
    # the engine's wheel uses the system's OpenMP runtime, which a bare system may lack
    "$venv/bin/python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing libgomp1, which the engine needs"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libgomp1 >/dev/null
        return
    fi
    fail "the engine needs the library libgomp1. Install it with: sudo apt install libgomp1"
}

hash_of() { cat "$lock" scripts/setup.sh | sha256sum | cut -d' ' -f1; }

if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(hash_of)" ]; then exit 0; fi
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then make_venv; fi
need_openmp
say "Installing the packages of $lock (about half a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock" ||
    fail "the packages could not be installed; pip's message is above. Run the same command again: what is downloaded stays."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
# the other locks hold all of the runtime lock
[ "$kind" != runtime ] && (lock=requirements/runtime.lock; hash_of) >"$venv/.installed-runtime"
hash_of >"$stamp"
