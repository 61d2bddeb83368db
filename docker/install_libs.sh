#!/bin/sh
# Installs runtime.lock into a folder that services mount read-only: once for each lock.
#
# The libraries go into <folder named by a hash>, which appears whole or not at all; `current` is a
# link to it and is switched in one step. Killed at any point, the next run begins again where it
# can (finished downloads are kept) and no service ever sees half of it. The folder before the
# present one stays until the next run, for the processes that still import from it.
#
# XLLAMACPP_INDEX   index of other builds of the engine (CUDA). The lock's hashes are those of the
#                   wheel for processors, so this one wheel is taken by the lock's version, without
#                   a hash unless XLLAMACPP_SHA256 gives it; all others stay bound to the lock.
# LIBS_DIR, LOCK    where to and what; pip's own settings (PIP_*) count as everywhere.
set -eu

libs=${LIBS_DIR:-/opt/python-libs}
lock=${LOCK:-/app/runtime.lock}
index=${XLLAMACPP_INDEX:-}
sha256=${XLLAMACPP_SHA256:-}

say() { printf 'python-libs: %s\n' "$*" >&2; }
pip_() { python -m pip --disable-pip-version-check --no-input --quiet "$@"; }

prune() { # prune KEEP...: remove every other installation
    for old in "$libs"/libs-*; do
        for kept in "$@"; do [ "$old" = "$libs/$kept" ] && continue 2; done
        rm -rf "$old"
    done
}

exec 9>"$libs/.lock"
flock 9

named() { # named SHA256: the folder for this lock, engine and Python
    echo "libs-$({ cat "$lock" "$0"; python -VV; uname -m; echo "$index $1"; } | sha256sum | cut -c1-16)"
}
offer() { # offer SHA256: at every run, so that the log of the last one holds it
    [ -z "$index" ] || [ -n "$sha256" ] || say "to accept only this build from now on, set XLLAMACPP_SHA256=$1"
}

name=$(named "$sha256")
# the hash of what is installed already, written to .env: the same libraries
if [ -n "$sha256" ] && [ "$(cat "$libs/$(named "")/.xllamacpp-sha256" 2>/dev/null)" = "$sha256" ]; then
    name=$(named "")
fi
previous=$(readlink "$libs/current" || true)
if [ "$previous" = "$name" ] && [ -d "$libs/$name" ]; then
    prune "$name"
    offer "$(cat "$libs/$name/.xllamacpp-sha256" 2>/dev/null || true)"
    say "up to date ($name)"
    exit 0
fi

if [ ! -d "$libs/$name" ]; then
    say "installing $(grep -c '^[a-zA-Z0-9]' "$lock") packages, a minute or so the first time"
    work=$libs/.unfinished
    rm -rf "$work"
    mkdir -p "$work/tmp" "$work/wheel"
    # beside the target, so that pip moves instead of copying
    export TMPDIR="$work/tmp" PIP_CACHE_DIR="$libs/.downloads"
    install="install --target $work/libs --no-deps --only-binary :all: --no-warn-script-location"
    cp "$lock" "$work/lock"
    if [ -n "$index" ]; then
        version=$(sed -n 's/^xllamacpp==\([^ ;\\]*\).*/\1/p' "$lock")
        say "the engine: xllamacpp $version from XLLAMACPP_INDEX"
        pip_ download --no-deps --only-binary :all: --index-url "$index" --dest "$work/wheel" "xllamacpp==$version"
        found=$(sha256sum "$work"/wheel/*.whl | cut -d' ' -f1)
        if grep -q "sha256:$found" "$lock"; then
            say "that index gave the wheel for processors, not another build; is XLLAMACPP_INDEX right?"
            exit 1
        fi
        if [ -n "$sha256" ] && [ "$sha256" != "$found" ]; then
            say "the wheel's sha256 is $found, not XLLAMACPP_SHA256: refused"
            exit 1
        fi
        offer "$found"
        awk '/^[a-zA-Z0-9]/ { keep = !/^xllamacpp==/ } keep' "$lock" >"$work/lock"
        # shellcheck disable=SC2086
        pip_ $install --no-index "$work"/wheel/*.whl
        echo "$found" >"$work/libs/.xllamacpp-sha256"
    fi
    # shellcheck disable=SC2086
    pip_ $install --require-hashes -r "$work/lock" || {
        say "pip failed, see above; what was downloaded is kept: run the same command again"
        exit 1
    }
    sync -f "$work"
    mv -T "$work/libs" "$libs/$name"
    rm -rf "$work" "$libs/.downloads"
fi
ln -sfn "$name" "$libs/.next"
mv -T "$libs/.next" "$libs/current"
prune "$name" "${previous:-$name}"
say "installed ($name)"
