#!/usr/bin/env bash
# Every test. Those with a real browser run in processes of their own: the browser's library keeps an event loop
# open in the main thread, which other asynchronous tests cannot share. Compose (make compose-test) comes last,
# where an engine or the lab script is; in CI always.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
browser=(tests/e2e/test_docs_page.py tests/e2e/test_loadtest_page.py tests/browser/test_dashboard.py)
failed=0

# Real processes share few cores here: what fails is told, and repeated once, alone, before it counts.
tested() {
    "$python" -m pytest "$@" && return
    printf 'Once more, alone, what failed:\n' >&2
    "$python" -m pytest "$@" -n 0 --last-failed --last-failed-no-failures none || failed=1
}

# In the order of their names: sorted by their number of tests, the files with few and long ones would come last
# and leave one process idle.
tested -n 2 --dist loadfile --no-loadscope-reorder tests --ignore=tests/browser --ignore=tests/compose "${browser[@]/#/--ignore=}"
for place in "${browser[@]}"; do tested "$place"; done
# the chat page: one process, one running group for all of it
tested tests/browser --ignore=tests/browser/test_dashboard.py --durations=5
scripts/compose_test.sh --if-possible || failed=1
exit $failed
