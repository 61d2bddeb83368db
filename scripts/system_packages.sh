#!/usr/bin/env bash
# Installs the apt packages that tests need and this machine lacks: a real browser, its fonts, openssl, Node.js
# Where it cannot (no root, no apt) it says what is missing and which tests will fail for it.
set -euo pipefail

declare -A needs=([chromium]=chromium [openssl]=openssl [node]=nodejs [npm]=npm)
missing=()
for program in "${!needs[@]}"; do
    command -v "$program" >/dev/null || missing+=("${needs[$program]}")
done
# screenshots with Hangul need a font that has it
if [ -z "$(find /usr/share/fonts -iname '*cjk*' -print -quit 2>/dev/null)" ]; then missing+=(fonts-noto-cjk); fi
[ ${#missing[@]} = 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    printf 'Installing what tests need: %s\n' "${missing[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    exit 0
fi
printf 'Not installed, as this needs root: %s\n' "${missing[*]}" >&2
printf 'The browser tests (tests/browser, parts of tests/e2e) will fail without them. Install them with:\n' >&2
printf '    sudo apt install %s\n' "${missing[*]}" >&2
[ "${CI:-}" = true ] && exit 1
exit 0
