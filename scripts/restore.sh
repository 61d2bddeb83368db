#!/usr/bin/env bash
# Brings back what scripts/backup.sh saved:
#
#   scripts/restore.sh FOLDER/<date>-<time>
#
# Keys, characters and waiting answers become those of the backup. Conversations are added: what is
# there already stays. Settings are not touched; the backup's are in its file `env`. The services
# are stopped for a few seconds.
set -euo pipefail
[ $# = 1 ] && [ -f "$1/data.tar" ] && [ -f "$1/conversations.jsonl.gz" ] || {
    echo "restore.sh: name a folder that backup.sh made" >&2
    exit 2
}
backup=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
gzip -t "$backup/conversations.jsonl.gz"
tar -tf "$backup/data.tar" >/dev/null

docker compose stop office character
# a journal beside a file of another time would damage it: -wal and -shm go too
docker compose run --rm --no-deps -T --entrypoint sh python-libs-init -c '
    set -eu
    cd /app/data
    find . -maxdepth 1 -name "*.sqlite3*" ! -name "chatbot.sqlite3*" -delete
    tar -xf -' <"$backup/data.tar"
docker compose up --detach --wait --no-recreate office character
gzip -dc "$backup/conversations.jsonl.gz" |
    docker compose exec -T office sh -c 'umask 077; cat > /app/data/restore.jsonl'
status=0
docker compose exec -T office chatbot-ai history import /app/data/restore.jsonl || status=$?
docker compose exec -T office rm /app/data/restore.jsonl
exit $status
