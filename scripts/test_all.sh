#!/usr/bin/env bash
# What `make test` leaves out: pages in a real browser, slow tests, long property tests, and the containers where an
# engine or the lab script is (in CI always). The containers' images are built while the other tests run.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
failed=0
tested() { "$python" -m pytest --durations=10 "$@" || failed=1; }

others=$(mktemp) said=$(mktemp)
# a process group of its own, which is ended as a whole and removes what it started
set -m
COMPOSE_TEST_AFTER=$others scripts/compose_test.sh --if-possible >"$said" 2>&1 &
compose=$!
set +m
finish() {
    rm -f "$others" "$said"
    if kill -- "-$compose" 2>/dev/null; then wait "$compose"; fi
}
trap finish EXIT

# each process has one running group for all of its tests
tested -n 2 tests/browser
tested -n 2 -m slow --ignore=tests/browser
HYPOTHESIS_PROFILE=long tested -n 2 tests/property tests/unit/cards
rm "$others"
tail --lines=+1 --follow --pid="$compose" "$said"
wait "$compose" || failed=1
exit $failed
