#!/usr/bin/env bash
# Lints the pages' JavaScript and checks its types; the versions are those of package-lock.json.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=node_modules/.installed
if ! cmp -s package-lock.json "$stamp"; then
    npm ci --silent --no-audit --no-fund
    cp package-lock.json "$stamp"
fi
node_modules/.bin/biome lint --error-on-warnings --log-level=error .

failed=0
for project in scripts/js/tsconfig.json scripts/js/tsconfig.report.json; do
    # the libraries in web/vendor are not ours to change: what is said of them is left out
    found=$(node_modules/.bin/tsc --pretty false -p "$project" | grep -E '^[^ ]' | grep -v '^web/vendor/' || true)
    if [ -n "$found" ]; then printf '%s\n' "$found" >&2; failed=1; fi
done
exit $failed
