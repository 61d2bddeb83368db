#!/bin/sh
# The one-shot before the services. As root, with the five capabilities that takes: give the folders
# of the volumes and of the clone owners with whom nobody meets a permission error. Then, as the
# services' own user: the libraries, and the command in "$@" or, without one, the demo model if it is needed.
set -eu

uid=${RUN_UID:-1000} gid=${RUN_GID:-1000}
libs=${LIBS_DIR:-/opt/python-libs}
say() { printf 'python-libs-init: %s\n' "$*" >&2; }

own() { # own VOLUME: it is the services' alone
    [ "$(stat -c %u:%g "$1")" = "$uid:$gid" ] || chown -R "$uid:$gid" "$1"
}

share() { # share FOLDER: of the clone, for the person who owns the clone and for the services
    person=$(stat -c %u /app/prompt)
    [ "$person" != 0 ] || person=$uid
    owner=$(stat -c %u "$1")
    case $owner in 0 | "$uid") owner=$person ;; esac # 0: made by Docker a moment ago, or root's clone
    [ "$(stat -c %u:%g "$1")" = "$owner:$gid" ] || { chown "$owner:$gid" "$1" && chmod u+rwx,g+rwx "$1"; } ||
        say "cannot change the owner of $1: let user $uid write there, or set RUN_UID and RUN_GID"
}

if [ "$(id -u)" = 0 ]; then
    own "$libs"
    own /app/data
    own /gateway-settings
    mkdir -p /app/ai_model/demo
    for folder in /app/logs /app/ai_model /app/ai_model/*/; do share "$folder"; done
    find /app/logs -maxdepth 1 -name '*.log' ! -user "$uid" -exec chgrp "$gid" {} + -exec chmod g+rw {} +
    [ "$uid" = 0 ] || # rootless Docker, where 0 is the person who runs it
        exec setpriv --reuid "$uid" --regid "$gid" --clear-groups --inh-caps=-all --no-new-privs "$0" "$@"
fi

if ls /etc/chatbot-pip/*.crt >/dev/null 2>&1; then # certificates of the company's own proxy or index
    cat /etc/ssl/certs/ca-certificates.crt /etc/chatbot-pip/*.crt >/tmp/certificates.pem
    export PIP_CERT=/tmp/certificates.pem SSL_CERT_FILE=/tmp/certificates.pem
fi
[ ! -f /etc/chatbot-pip/pip.conf ] || export PIP_CONFIG_FILE=/etc/chatbot-pip/pip.conf

install_libs.sh
# wheels may be larger than the tmpfs on /tmp
export TMPDIR=$libs/.tmp
rm -rf "$TMPDIR" && mkdir "$TMPDIR"
PYTHONPATH="/app/src:$(readlink -f "$libs/current")"
export PYTHONPATH
python -m chatbot_ai.server.gateway_spec /gateway-settings
# with a command, `models pull` say, whether the demo model can be had does not matter
[ $# = 0 ] || exec chatbot-ai "$@"
demo_model.py
