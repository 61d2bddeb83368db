#!/usr/bin/env bash
# Every test. Those with a real browser run in processes of their own: the browser's library keeps an event loop
# open in the main thread, which other asynchronous tests cannot share. Compose (make compose-test) comes last,
# where an engine or the lab script is; in CI always.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
browser=(tests/e2e/test_docs_page.py tests/e2e/test_loadtest_page.py tests/browser/test_dashboard.py)
failed=0

"$python" -m pytest -n 2 --dist loadfile tests --ignore=tests/browser --ignore=tests/compose \
    "${browser[@]/#/--ignore=}" || failed=1
for place in "${browser[@]}"; do
    "$python" -m pytest "$place" || failed=1
done
# the chat page: one process, one running group for all of it
"$python" -m pytest tests/browser --ignore=tests/browser/test_dashboard.py --durations=5 || failed=1
scripts/compose_test.sh --if-possible || failed=1
exit $failed
