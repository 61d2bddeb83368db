#!/usr/bin/env bash
# Writes requirements/*.lock anew: exact versions, hashes, no index address. Needs uv (in the dev lock).
set -euo pipefail
cd "$(dirname "$0")/../requirements"
for name in runtime dev loadtest; do
    # the load tests' packages go into an environment that has the runtime's, or the development's
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --upgrade $([ $name = loadtest ] && echo "-c dev.lock") "$name.in" -o "$name.lock"
done
