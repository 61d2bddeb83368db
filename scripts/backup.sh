#!/usr/bin/env bash
# Backs up a Compose deployment while it runs:
#
#   scripts/backup.sh FOLDER [DAYS]
#
# FOLDER/<date>-<time>/ then holds conversations.jsonl.gz, data.tar (keys, characters, answers that
# wait for MongoDB) and env (the settings, with their passwords). It appears when it is complete.
# Backups older than DAYS (14) are removed after that. scripts/restore.sh brings one back.
set -euo pipefail
[ $# = 1 ] || [ $# = 2 ] || { sed -n '2,4s/^#//p' "$0" >&2; exit 2; }
days=${2:-14}
case $days in '' | *[!0-9]*) echo "backup.sh: '$days' is not a number of days" >&2; exit 2 ;; esac
umask 077
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."

exec 9>"$folder/.lock"
flock -n 9 || { echo "backup.sh: another backup to $folder is running" >&2; exit 1; }
name=$(date +%Y-%m-%d-%H%M%S)
work=$folder/.unfinished
rm -rf "$work"
mkdir "$work"

in_office() { docker compose exec -T office "$@"; }
clean() { in_office rm -rf /app/data/.backup || true; }
trap clean EXIT
in_office python - <<'PYTHON'
import pathlib, shutil, sqlite3

data = pathlib.Path("/app/data")
copies = data / ".backup"
shutil.rmtree(copies, ignore_errors=True)
copies.mkdir(mode=0o700)
for file in data.glob("*.sqlite3"):
    if file.name != "chatbot.sqlite3":  # conversations are exported instead
        sqlite3.connect(file, timeout=60).execute("VACUUM INTO ?", (str(copies / file.name),))
PYTHON
in_office tar -C /app/data/.backup -cf - . >"$work/data.tar"
in_office chatbot-ai history export /app/data/.backup/conversations.jsonl >&2
in_office cat /app/data/.backup/conversations.jsonl | gzip >"$work/conversations.jsonl.gz"
[ ! -f .env ] || cp .env "$work/env"
sync -f "$work"
mv "$work" "$folder/$name"

find "$folder" -mindepth 1 -maxdepth 1 -type d -name '20??-??-??-??????' -mtime "+$days" -exec rm -rf {} +
echo "$folder/$name"
