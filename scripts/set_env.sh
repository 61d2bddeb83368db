#!/bin/sh
# Sets lines of .env and keeps every other line:
#
#   scripts/set_env.sh NAME=VALUE ...
#
# A name that is in the file gets its new value there; a new name goes to the end. `NAME=` sets it to
# nothing. Only you can read the file (mode 0600).
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "set_env.sh: $*" >&2
    exit 2
}

[ $# -gt 0 ] || fail "usage: scripts/set_env.sh NAME=VALUE ..."
umask 077
[ -e .env ] || : >.env
file=$(readlink -f .env)
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new" "$new.next"' EXIT
cat "$file" >"$new"
for pair in "$@"; do
    name=${pair%%=*} value=${pair#*=}
    case $pair in *=*) ;; *) fail "'$pair' is not NAME=VALUE; .env is unchanged" ;; esac
    case $name in '' | [!A-Z]* | *[!A-Z0-9_]*) fail "'$name' is not a setting's name; .env is unchanged" ;; esac
    case $value in
        *"'"* | *'
'*) fail "$name: quotes and line breaks are not possible here; edit .env instead. It is unchanged" ;;
        *[!A-Za-z0-9_./:@%+,=-]*) value="'$value'" ;; # Compose would expand $ and cut at #
    esac
    LINE="$name=$value" NAME="$name=" awk '
        index($0, ENVIRON["NAME"]) == 1 { if (!found++) print ENVIRON["LINE"]; next }
        { print }
        END { if (!found) print ENVIRON["LINE"] }' "$new" >"$new.next"
    mv "$new.next" "$new"
done
mv "$new" "$file"
