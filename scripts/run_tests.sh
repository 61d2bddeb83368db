#!/usr/bin/env bash
# Every test. Those with a real browser run in processes of their own: the browser's library keeps an event loop
# open in the main thread, which other asynchronous tests cannot share. Compose (make compose-test) comes last,
# where an engine or the lab script is; in CI always. Its images are built meanwhile.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
# pages whose tests open and close a browser of their own; those of the chat page share one
pages=(tests/e2e/test_docs_page.py tests/e2e/test_loadtest_page.py tests/browser/test_dashboard.py)
# In the order of their names: sorted by their number of tests, the files with few and long ones would come last
# and leave one process idle.
together=(--dist loadfile --no-loadscope-reorder --durations=15)
# one more than cores, as a process often waits for others that it started
processes=$(($(nproc) < 4 ? $(nproc) + 1 : 4))
failed=0

# Real processes share few cores here: what fails is told, and repeated once, alone, before it counts.
tested() {
    "$python" -m pytest "${together[@]}" "$@" && return
    printf 'Once more, alone, what failed:\n' >&2
    "$python" -m pytest "$@" -n 0 --last-failed --last-failed-no-failures none || failed=1
}

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

tested -n "$processes" tests --ignore=tests/browser --ignore=tests/compose "${pages[@]/#/--ignore=}"
# the chat page: each process has one running group for all of its tests
tested -n 2 tests/browser --ignore=tests/browser/test_dashboard.py
rm "$others"
# while the containers start
tested -n 2 "${pages[@]}"
tail --lines=+1 --follow --pid="$compose" "$said"
wait "$compose" || failed=1
exit $failed
