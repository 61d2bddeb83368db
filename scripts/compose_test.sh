#!/usr/bin/env bash
# Tests docker-compose.yml for real: builds it in a fresh copy of this working tree, starts it, runs tests/compose
# and the end-to-end contract against it and removes it. Uses this machine's Docker engine; where none runs, one of the lab script's.
# Environment:
#   COMPOSE_LAB_SCRIPT  the lab script (default ../shared/compose_lab.sh)
#   COMPOSE_TEST_KEEP   not empty: leave everything running and say how to reach it
#   PYTHON              the Python that has the dev lock's packages (default .venv/bin/python)
#   CI                  not empty: --if-possible must be possible
# --if-possible alone: where no engine runs and there is no lab script, say so and succeed.
# Other arguments replace the list of tests, e.g. tests/compose/test_healing.py -k nginx.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
lab=$(realpath --canonicalize-missing "${COMPOSE_LAB_SCRIPT:-../shared/compose_lab.sh}")

say() { printf 'compose-test: %s\n' "$*" >&2; }
quietly() { "$@" >/dev/null 2>&1; }
timed() { local began=$SECONDS rc=0; "${@:2}" || rc=$?; say "$1: $((SECONDS - began)) s"; return $rc; }

may_be_left_out=
if [ "${1:-}" = --if-possible ]; then
    shift
    may_be_left_out=yes
fi
inside=() lab_is_ours=
if ! docker compose version >/dev/null 2>&1 || ! docker info >/dev/null 2>&1; then
    if [ ! -x "$lab" ]; then
        say "no Docker engine runs here and there is no $lab"
        if [ -z "$may_be_left_out" ] || [ -n "${CI:-}" ]; then exit 1; fi
        say "NOT RUN: tests/compose, and the end-to-end tests against containers"
        exit 0
    fi
    # its stand-ins, under the names that we pin; of Debian's nginx only forky's follows addresses
    COMPOSE_LAB_PY_TAGS=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' docker/Dockerfile* | sort -u | xargs)
    COMPOSE_LAB_NGINX_TAGS=$(sed -n 's/^ *image: \(nginx:[^ ]*\).*/\1/p' docker-compose.yml)
    export COMPOSE_LAB_PY_TAGS COMPOSE_LAB_NGINX_TAGS COMPOSE_LAB_NGINX_SUITE=forky
    [ -n "${CI:-}" ] && export COMPOSE_LAB_NICE=${COMPOSE_LAB_NICE:-0}
    "$lab" docker info >/dev/null 2>&1 || lab_is_ours=yes
    timed "engine" "$lab" up
    inside=("$lab" in)
fi

clone=$(mktemp -d "${TMPDIR:-/tmp}/chatbot-compose-XXXXXX")
said=$(mktemp)
finish() {
    local rc=$?
    trap - EXIT
    if [ -n "${COMPOSE_TEST_KEEP:-}" ]; then
        say "left running: cd $clone; COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME GATEWAY_PORT=$GATEWAY_PORT"
        exit $rc
    fi
    if [ $rc != 0 ]; then
        "${inside[@]}" docker compose logs --tail 30 --no-color >&2 || true
        grep -E '^(E  |FAILED|ERROR)' "$said" >&2 || true # again, where a long output is cut
    fi
    timed "removal" quietly "${inside[@]}" docker compose down --volumes --rmi local --remove-orphans --timeout 5 || true
    cd "$root"
    rm -rf "$clone" "$said"
    [ -z "$lab_is_ours" ] || "$lab" stop
    exit $rc
}
trap finish EXIT

# a clone by somebody who is not the services' user, without anybody's .env, logs or models; the
# tests ask faster than people
git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$clone"
echo GATEWAY_RATE_PER_S=500 >"$clone/.env"
if [ "$(id -u)" = 0 ]; then chown -R 1234:1234 "$clone"; fi
cd "$clone"

COMPOSE_PROJECT_NAME=$(basename "$clone" | tr -cd 'a-z0-9')
GATEWAY_PORT=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
SECANTUSDB=$(sed -n 's/^secantusdb==\([^ \\]*\).*/\1/p' requirements/dev.lock)
export COMPOSE_PROJECT_NAME GATEWAY_PORT SECANTUSDB CHATBOT_COMPOSE_TEST=$clone E2E_BASE_URL=http://127.0.0.1:$GATEWAY_PORT
export COMPOSE_FILE=docker-compose.yml:tests/compose/docker-compose.test.yml

timed "build" "${inside[@]}" docker compose --progress quiet build
timed "up, from empty volumes until healthy" "${inside[@]}" docker compose --progress quiet up --detach --wait
timed "the first answer" "${inside[@]}" curl --silent --show-error --fail --output /dev/null \
    --header 'Content-Type: application/json' --data '{"input_data": "Hello!"}' "$E2E_BASE_URL/office/Llama"
# those that kill and change things come last: they leave other processes than they found
suite=(tests/compose/test_first_start.py tests/e2e/test_contract.py tests/e2e/test_bad_input.py
    tests/e2e/test_api_examples.py tests/compose/test_healing.py tests/compose/test_outage.py
    tests/compose/test_operator.py)
run_tests() { (cd "$root" && PYTHONPATH=$root/src "${inside[@]}" "$python" -m pytest -p no:cacheprovider "$@" | tee "$said"); }
timed "tests" run_tests "${@:-${suite[@]}}"
