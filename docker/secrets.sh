#!/bin/sh
# Writes what is missing of docker/secrets/, one secret a file; what is there is kept.
#
# The folder is for its owner only. The files in it can be read by everybody, since Compose mounts each
# as it is into the containers that name it, and those run as users of their own.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 0700 secrets

keep() { # NAME: standard input becomes the file, unless there is one
    if [ ! -s "secrets/$1" ]; then
        cat >"secrets/.$1.new"
        chmod 0444 "secrets/.$1.new"
        mv "secrets/.$1.new" "secrets/$1"
    fi
}
token() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

for name in metrics_token agent_token_alpha webhook_token operator_token supervisor_token faults_token audit_key \
    venue_key venue_key_manual \
    database_admin_password database_owner_password database_password database_exporter_password \
    grafana_admin_password; do
    token | keep "$name"
done
# A venue's secret is 64 bytes in base64.
for name in venue_secret venue_secret_manual; do
    head -c 64 /dev/urandom | base64 | tr -d '\n' | keep "$name"
done
# How the exporter reaches PostgreSQL.
printf 'host=127.0.0.1 port=5432 dbname=trading_ops user=trading_ops_exporter password=%s' \
    "$(cat secrets/database_exporter_password)" | keep exporter_dsn
