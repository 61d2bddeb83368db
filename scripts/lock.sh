#!/usr/bin/env bash
# Writes requirements/*.lock anew: exact versions, hashes, no index address. Needs uv (in the dev lock).
set -euo pipefail
cd "$(dirname "$0")/../requirements"
for name in runtime dev; do
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --upgrade "$name.in" -o "$name.lock"
done
