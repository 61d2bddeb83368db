#!/usr/bin/env bash
# Writes requirements/*.lock: exact versions, hashes, no index address. Needs uv (in the dev lock).
# KEEP=1 keeps the versions that are locked, as far as the lists allow.
set -euo pipefail
cd "$(dirname "$0")/../requirements"
for name in runtime dev loadtest; do
    lists=(../pyproject.toml runtime.in)
    [ $name = runtime ] || lists+=("$name.in")
    # the load tests' packages go into an environment that has the runtime's, or the development's
    [ $name != loadtest ] || lists+=(-c dev.lock)
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header $([ -n "${KEEP:-}" ] || echo --upgrade) "${lists[@]}" -o "$name.lock"
done
