#!/usr/bin/env bash
# What `make test` leaves out: pages in a real browser, slow tests, long property tests, and the containers where an
# engine or the lab script is (in CI always). All run beside each other, as each waits for others most of the time.
# Environment: COMPOSE_TEST=elsewhere leaves the containers to who has started them already.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
said=$(mktemp -d)
parts=()

# Each part is a process group of its own, which is ended as a whole and removes what it started.
start() {
    local name=$1; shift
    set -m
    "$@" >"$said/$name" 2>&1 &
    set +m
    parts+=("$name:$!")
}
finish() {
    local part
    for part in "${parts[@]}"; do
        if kill -- "-${part##*:}" 2>/dev/null; then wait "${part##*:}"; fi
    done
    rm -rf "$said"
}
trap finish EXIT

[ "${COMPOSE_TEST:-}" = elsewhere ] || start containers scripts/compose_test.sh --if-possible
# each process has one running group for all of its tests
start browser "$python" -m pytest --durations=10 -n 2 tests/browser
start slow "$python" -m pytest --durations=10 -m slow --ignore=tests/browser
start properties env HYPOTHESIS_PROFILE=long "$python" -m pytest --durations=10 -m hypothesis tests/property tests/unit
failed=0
for part in "${parts[@]}"; do
    printf '\n%s:\n' "${part%:*}"
    tail --lines=+1 --follow --pid="${part##*:}" "$said/${part%:*}"
    wait "${part##*:}" || failed=1
done
exit $failed
