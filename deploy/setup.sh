#!/bin/sh
# Installs, upgrades and removes trading-ops as systemd services on Debian 12. Each command can be
# repeated; what is there already is kept.
#
#   setup.sh install [--package SPEC]    SPEC: what pip installs, as trading-ops[node]==0.1.0 or a wheel
#   setup.sh upgrade [--package SPEC]    a new release beside the old one, with the same extras; local changes
#                                        are kept.
#                                        If it does not stay healthy, the old one returns
#   setup.sh rollback                    back to the release before, and to its database schema
#   setup.sh restore [ID]                puts a backup in the place of /var/lib/trading-ops: stops the
#                                        services, restores, starts them again; ID: `trading-ops backup list`
#   setup.sh uninstall                   asks before it removes configuration and data
#   --dry-run                            prints the commands and runs none
#   --node NAME                          only the node NAME of targets.yml, on a host beside the reconciler's
#   --lab                                only the lab, on a host of its own: paper venue, paper bot, drills
#   --no-backup                          upgrades, or goes back, without a restore point
#   --no-prometheus                      leaves Debian's Prometheus and Alertmanager alone
set -eu
umask 022 # the services' users read what root writes; secrets have modes of their own

BASE=/opt/trading-ops
PROJECT=/etc/trading-ops
VAR=/var/lib/trading-ops
NODE_VAR=/var/lib/trading-ops-node
BACKUPS=/var/lib/trading-ops-backups # until settings.yml names a place off this host
UNITS=/etc/systemd/system
POLKIT=/etc/polkit-1/rules.d/50-trading-ops-node.rules
COMMAND=/usr/local/bin/trading-ops
SERVICES='trading-ops-reconciler trading-ops-exporter trading-ops-node'
DROP_IN=trading-ops-backups.conf # other files beside it are yours
CLEAN_UP=trading-ops-clean-up # on a host with a node only; the reconciler has a job for it
PACKAGE='trading-ops[node,exporter,postgresql]'
DRY_RUN=''
WITH_PROMETHEUS=yes
WITH_BACKUP=yes
STEADY_SECONDS=30 # a new release that ends or hangs does it at once, or when its first pass is over
NODE=''
LAB=''
LAB_VAR=/var/lib/trading-ops-lab
USERS='trading-ops trading-ops-node'
NODE_DEFAULTS=/etc/default/trading-ops-node
MEMORY=/dev/shm
GOING_BACK=''
# Without the first, a restart resets every pending alert; without the second, any web page may read its API.
PROMETHEUS_FLAGS='--rules.alert.for-grace-period=1m --web.cors.origin=none'
KEY=latest
GIVEN=''

say() { printf '%s\n' "$*"; }
die() { printf 'Error: %s\n' "$*" >&2; exit 1; }

run() {
    if [ -n "$DRY_RUN" ]; then say "would run: $*"; else "$@"; fi
}

# Write standard input to a file, whole or not at all.
put() {
    if [ -n "$DRY_RUN" ]; then
        cat >/dev/null
        say "would write: $2 (mode $1)"
    else
        cat >"$2.new"
        chmod "$1" "$2.new"
        mv "$2.new" "$2"
    fi
}

ours() { run runuser -u trading-ops -- env TRADING_OPS_ROOT=$PROJECT $BASE/current/bin/trading-ops "$@"; }

packages() {
    set -- python3-venv dbus polkitd
    [ -z "$WITH_PROMETHEUS" ] || set -- "$@" prometheus prometheus-alertmanager
    missing=''
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    run apt-get update -q
    # shellcheck disable=SC2086 # names have no spaces
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
    # The lab starts the same programs itself, on the same ports.
    [ -z "$LAB" ] || run systemctl disable --quiet --now prometheus prometheus-alertmanager
}

users() {
    for user in $USERS; do
        getent passwd $user >/dev/null ||
            run useradd --system --user-group --no-create-home --home-dir /nonexistent \
                --shell /usr/sbin/nologin $user
    done
}

# Keeps the releases in use and the newest one besides, which may have failed.
old_releases() {
    kept=0
    for folder in $(printf '%s\n' $BASE/releases/* | sort -r); do
        case $folder in "$(readlink $BASE/current)" | "$(readlink $BASE/previous || true)") continue ;; esac
        kept=$((kept + 1))
        [ $kept = 1 ] || run rm -rf "$folder"
    done
}

# A new virtual environment beside the old one; the link `current` moves when it is whole.
release() {
    new=$BASE/releases/$(date -u +%Y%m%dT%H%M%SZ)
    run install -d -m 0755 $BASE/releases
    attempt virtual_environment "$new"
    [ $failed = 0 ] || {
        run rm -rf "$new"
        die "the release cannot be installed${old:+; $old runs on}"
    }
    [ "$action" = upgrade ] || { switch "$new"; return; }
    earlier=$(readlink $BASE/previous || true)
    trap '' HUP INT TERM # not between the two links
    remember "$old"
    switch "$new" || {
        remember "$earlier"
        die "the release cannot be changed; $old runs on"
    }
    # A signal ends the attempt and not this shell, which then goes back. Without a terminal, it is
    # silent: what writes would fail.
    trap : INT TERM
    trap 'exec >/dev/null 2>&1' HUP
}

virtual_environment() {
    run python3 -m venv "$1"
    run "$1/bin/python" -m pip install --quiet --disable-pip-version-check "$PACKAGE"
    run "$1/bin/trading-ops" --version
    printf '%s\n' "$PACKAGE" | put 0644 "$1/package"
}

# What an upgrade installs: the extras of the release that runs, so that none is lost.
same_extras() {
    installed=$(cat $BASE/current/package 2>/dev/null || true)
    if [ "$action" = install ]; then
        [ -z "$GIVEN" ] || [ -z "$old" ] || [ "$installed" = "$PACKAGE" ] ||
            die "a release is installed already${installed:+ ($installed)}: setup.sh upgrade --package '$PACKAGE'"
        return 0
    fi
    [ -z "$GIVEN" ] || return 0
    case $installed in
    '') ;; # an older setup.sh did not write it
    */*) die "$installed is installed, a file: name the new one with --package" ;;
    *\[*\]*)
        extras=${installed#*\[}
        PACKAGE="trading-ops[${extras%%\]*}]"
        ;;
    esac
    [ -n "$DRY_RUN" ] || say "Installing the newest $PACKAGE"
}

# The release that a rollback goes to; empty: none.
remember() { if [ -n "$1" ]; then run ln -sfn "$1" $BASE/previous; else run rm -f $BASE/previous; fi; }

switch() {
    run ln -sfn "$1" $BASE/current.new && run mv -T $BASE/current.new $BASE/current
}

command_line() {
    user=${USERS%% *} var=''
    [ -z "$NODE" ] || user=trading-ops-node var="TRADING_OPS_VAR=\${TRADING_OPS_VAR:-$NODE_VAR} "
    put 0755 $COMMAND <<END
#!/bin/sh
# Written by setup.sh: trading-ops as the user of its services, whose tokens it reads.
[ "\$(id -u)" = 0 ] && exec runuser -u $user -- "\$0" "\$@"
${var}TRADING_OPS_ROOT=\${TRADING_OPS_ROOT:-${LAB:-$PROJECT}} exec $BASE/current/bin/trading-ops "\$@"
END
}

project() {
    if [ -e $PROJECT/targets.yml ]; then
        run $BASE/current/bin/trading-ops init $PROJECT --update
    else
        run $BASE/current/bin/trading-ops init $PROJECT
        run sed -i -e "s|^# var: var\$|var: $VAR|" \
            -e "s|^# backup_repository: .*|backup_repository: $BACKUPS|" \
            -e "s|^# listener_users: .*|listener_users: trading-ops-node|" $PROJECT/settings.yml
    fi
}

# `up` fills its empty folder itself.
lab() {
    command_line
    run install -d -o trading-ops-lab -g trading-ops-lab -m 0700 $LAB_VAR
    run install -m 0644 "$(dirname "$0")/systemd/trading-ops-lab.service" $UNITS/
    run systemctl daemon-reload
    run systemctl enable --quiet trading-ops-lab
    run systemctl restart trading-ops-lab
}

# A host with a node only: its files come from the reconciler's host (docs/install.md).
node_folders() {
    run install -d -o trading-ops-node -g trading-ops-node -m 0700 $NODE_VAR $NODE_VAR/secrets $NODE_VAR/tls $BACKUPS
    run chown -R trading-ops-node:trading-ops-node $NODE_VAR
    put 0644 $NODE_DEFAULTS <<END
# written by setup.sh --node
NODE_NAME=$NODE
NODE_BACKUPS=--backups
END
}

folders() {
    reader=$(getent group prometheus >/dev/null && echo prometheus || echo trading-ops)
    # Others may pass through to their own folder; the tokens of the group's folders are copies.
    run install -d -o trading-ops -g trading-ops -m 0711 $VAR
    run install -d -o trading-ops -g trading-ops -m 0700 $VAR/secrets $VAR/log $BACKUPS
    for folder in prometheus prometheus/targets alertmanager; do
        run install -d -o trading-ops -g trading-ops -m 0755 "$VAR/$folder"
    done
    run install -d -o trading-ops -g "$reader" -m 2750 $VAR/prometheus/secrets $VAR/alertmanager/secrets
    run install -d -o trading-ops-node -g trading-ops-node -m 0700 $NODE_VAR $NODE_VAR/secrets
    ours config apply
    run install -o trading-ops-node -g trading-ops-node -m 0600 $VAR/secrets/node_token $NODE_VAR/secrets/node_token
}

units() {
    for unit in $SERVICES; do
        run install -m 0644 "$PROJECT/deploy/systemd/$unit.service" $UNITS/
    done
    timer=''
    if [ -n "$NODE" ] && { [ -n "$DRY_RUN" ] || [ -e "$PROJECT/deploy/systemd/$CLEAN_UP.timer" ]; }; then
        timer=yes
        for unit in $CLEAN_UP.service $CLEAN_UP.timer; do
            run install -m 0644 "$PROJECT/deploy/systemd/$unit" $UNITS/
        done
    else
        no_timer # an older release, which has none
    fi
    may_write
    run systemctl daemon-reload
    [ -z "$timer" ] || run systemctl enable --quiet --now $CLEAN_UP.timer
}

# Lets the unit that takes backups write to the repository that settings.yml names.
may_write() {
    if [ -n "$NODE" ]; then var=$NODE_VAR unit=trading-ops-node; else var='' unit=trading-ops-reconciler; fi
    if [ -n "$DRY_RUN" ]; then
        say "would write: $UNITS/$unit.service.d/$DROP_IN"
        return 0
    fi
    # An older release does not have this command, and does not need the drop-in.
    lines=$(env ${var:+"TRADING_OPS_VAR=$var"} TRADING_OPS_ROOT=$PROJECT $BASE/current/bin/trading-ops backup drop-in 2>/dev/null) || return 0
    install -d -m 0755 $UNITS/$unit.service.d
    printf '%s\n' "$lines" | put 0644 $UNITS/$unit.service.d/$DROP_IN
}

no_timer() {
    [ ! -e $UNITS/$CLEAN_UP.timer ] || run systemctl disable --quiet --now $CLEAN_UP.timer
    run rm -f $UNITS/$CLEAN_UP.service $UNITS/$CLEAN_UP.timer
}

# Debian's units read these files; the one that was there is kept for uninstall.
peers() {
    [ -n "$WITH_PROMETHEUS" ] || return 0
    peer prometheus "$PROMETHEUS_FLAGS --config.file=$VAR/prometheus/prometheus.yml --storage.tsdb.retention.time=35d --storage.tsdb.retention.size=10GB --web.listen-address=127.0.0.1:9090"
    missing_flags
    peer prometheus-alertmanager "--config.file=$VAR/alertmanager/alertmanager.yml --web.listen-address=127.0.0.1:9093 --cluster.listen-address="
}

is_ours() { grep -qs 'written by trading-ops' "/etc/default/$1"; }

peer() {
    file=/etc/default/$1
    ! is_ours "$1" || return 0
    [ ! -e "$file" ] || [ -e "$file.before-trading-ops" ] || run cp -p "$file" "$file.before-trading-ops"
    put 0644 "$file" <<END
# written by trading-ops setup.sh; the file before is $file.before-trading-ops
ARGS="$2"
END
}

# Our file of an older release, which you may have changed, does not have them.
missing_flags() {
    is_ours prometheus || return 0
    for flag in $PROMETHEUS_FLAGS; do
        ! grep -q -e "${flag%%=*}" /etc/default/prometheus || continue
        run sed -i "s|^ARGS=\"|&$flag |" /etc/default/prometheus
        say "/etc/default/prometheus: added $flag"
    done
}

# A service that does not become ready fails it. The node is first: without it nothing is remediated, and
# the bots run on.
start() {
    polkit
    if [ -n "$has_services" ]; then
        run systemctl enable --quiet trading-ops-node
        run systemctl restart trading-ops-node
    elif [ -n "$NODE" ]; then
        say "No service in targets.yml names $NODE yet: copy the files of docs/install.md here, then run this again."
    else
        say "No service in targets.yml names the node of this host: to use it, add one and run setup.sh install again."
    fi
    if [ -z "$NODE" ]; then
        run systemctl enable --quiet trading-ops-reconciler trading-ops-exporter
        run systemctl restart trading-ops-exporter trading-ops-reconciler
    fi
    [ -n "$WITH_PROMETHEUS" ] || return 0
    for name in prometheus prometheus-alertmanager; do
        is_ours "$name" || continue
        run systemctl restart "$name" || say "Warning: $name does not start: journalctl -u $name"
    done
}

# Runs a function and sets `failed`. In a condition, the shell would go on after a failed command.
attempt() {
    set +e
    (
        set -e
        "$@"
    )
    failed=$?
    set -e
}

# An attempt that no signal ends, not even in the middle: one release must run afterwards. The output of
# its commands goes to a file first, because writing to a closed terminal would fail them; and the file
# is in memory, because the disk may be full.
unbroken() {
    trap '' HUP INT TERM
    output=$(mktemp -p $MEMORY 2>/dev/null) || output=/dev/null
    attempt "$@" >"$output" 2>&1
    tell "$(cat "$output")"
    [ $output = /dev/null ] || rm -f "$output"
}

tell() { printf '%s\n' "$*" 2>/dev/null || true; }

# The canary: the enabled services are active, and the same processes after a while. systemd's watchdog
# ends one that hangs.
steady() {
    [ -z "$DRY_RUN" ] || return 0
    say "Watching the release for $STEADY_SECONDS s"
    before=$(running)
    sleep $STEADY_SECONDS
    [ "$before" = "$(running)" ]
}

running() {
    for unit in $SERVICES; do
        systemctl is-enabled --quiet "$unit" 2>/dev/null || continue
        systemctl is-active --quiet "$unit" || die "$unit is not active"
        say "$unit $(systemctl show -P MainPID "$unit")"
    done
}

restore_point() {
    [ -z "$NODE" ] && [ -n "$WITH_BACKUP" ] || return 0
    ours backup create ||
        die "there is no restore point: correct what backup create reported (backup_repository in
$PROJECT/settings.yml must be writable, as $BACKUPS is), or add --no-backup"
}

# The lab uses the ports and the folder /opt/trading-ops of the services.
for_lab() {
    if [ -z "$LAB" ]; then
        [ "$action" = uninstall ] || [ ! -e $UNITS/trading-ops-lab.service ] ||
            die "the lab is installed here: add --lab, or run setup.sh uninstall first"
        return 0
    fi
    case $action in install | uninstall) ;; *) die "--lab is for install and uninstall" ;; esac
    [ "$action" = install ] && [ -z "$DRY_RUN" ] || return 0
    [ ! -e $PROJECT/targets.yml ] || die "the services are installed here: use another host for the lab"
    for name in prometheus prometheus-alertmanager; do
        ! systemctl is-active --quiet $name ||
            die "$name is active, and the lab starts its own: systemctl disable --now $name"
    done
}

# To another installed release, with its schema and its files. Its setup may differ from ours: what it does
# not have must not end this half-way, because the services are stopped.
go_to() {
    back=$1 left=$(readlink $BASE/current) schema='' newest='' GOING_BACK=yes
    if [ -z "$NODE" ]; then
        schema=$(schema_of "$back")
        newest=$(schema_of "$left" 2>/dev/null) || newest=''
    fi
    for unit in $SERVICES; do
        run systemctl stop "$unit" || true
        run systemctl reset-failed "$unit" 2>/dev/null || true
    done
    # A newer release takes the schema forward itself, when it starts.
    if [ -z "$NODE" ] && [ "${newest:-9999}" -gt "$schema" ]; then
        run runuser -u trading-ops -- env TRADING_OPS_ROOT=$PROJECT "$left/bin/trading-ops" migrate --to "$schema" ||
            say "The schema was not changed. If $back refuses it, see docs/install.md. The command: $left/bin/trading-ops migrate --to $schema"
    fi
    switch "$back"
    run $BASE/current/bin/trading-ops init $PROJECT --update
    [ -n "$NODE" ] || ours config apply ||
        say "The files of Prometheus and Alertmanager may be those of $left: run trading-ops config apply"
    units
    start
    steady
}

# -I: not the trading_ops of the folder that this runs in.
schema_of() { "$1/bin/python" -I -c 'from trading_ops.store.migrate import HEAD; print(HEAD)'; }

# The node may manage the listed units and no others. Sets `has_services`: whether a service names it.
polkit() {
    has_services=yes code=0
    if [ -n "$DRY_RUN" ]; then
        say "would write: $POLKIT"
        return 0
    fi
    rule=$(polkit_rule 2>/dev/null) || code=$?
    case $code in
    0) printf '%s\n' "$rule" | put 0644 $POLKIT ;;
    6) # no service in targets.yml names this node, or the node is not in it yet
        has_services=''
        polkit_rule 2>&1 | sed 's/^Error: /The node is not started: /'
        ;;
    *)
        polkit_rule || true
        [ -n "$GOING_BACK" ] || die "the node's polkit rule cannot be made"
        # Older releases have no code of their own for a node without services. The rule stays as it is.
        systemctl is-enabled --quiet trading-ops-node 2>/dev/null || has_services=''
        ;;
    esac
}

polkit_rule() {
    name=$(sed -n 's/^NODE_NAME=//p' $NODE_DEFAULTS 2>/dev/null || true)
    TRADING_OPS_ROOT=$PROJECT $BASE/current/bin/trading-ops node --name "$name" --polkit trading-ops-node
}

uninstall() {
    for unit in $SERVICES trading-ops-lab; do
        [ ! -e "$UNITS/$unit.service" ] || run systemctl disable --quiet --now "$unit"
        run rm -f "$UNITS/$unit.service" "$UNITS/$unit.service.d/$DROP_IN"
    done
    no_timer
    for name in prometheus prometheus-alertmanager; do
        [ ! -e "/etc/default/$name.before-trading-ops" ] || {
            run mv "/etc/default/$name.before-trading-ops" "/etc/default/$name"
            run systemctl restart "$name"
        }
    done
    run rm -f $POLKIT $COMMAND $NODE_DEFAULTS
    run rm -rf $BASE
    run systemctl daemon-reload
    for folder in $PROJECT $VAR $NODE_VAR $BACKUPS $LAB_VAR; do
        [ -e "$folder" ] || continue
        answer=''
        [ ! -t 0 ] || { printf 'Remove %s too? [y/N] ' "$folder"; read -r answer || true; }
        case $answer in [yY]*) run rm -rf "$folder" ;; *) say "kept: $folder" ;; esac
    done
}

configure_and_start() {
    [ -z "$LAB" ] || { lab; return; }
    command_line
    project
    if [ -n "$NODE" ]; then node_folders; else folders; fi
    units
    peers
    start
    [ "$action" = install ] || steady
}

rollback() {
    old=$(readlink $BASE/previous) || die "there is no release before this one in $BASE"
    new=$(readlink $BASE/current)
    [ "$old" != "$new" ] || die "$BASE/previous names the release that runs: the one before is not known"
    [ -x "$old/bin/trading-ops" ] || die "$old is not installed any more"
    restore_point
    unbroken go_to "$old"
    if [ $failed != 0 ]; then
        tell "$old does not stay healthy (journalctl -u 'trading-ops-*'): going back to $new"
        unbroken go_to "$new"
        [ $failed = 0 ] || die "$new does not stay healthy either: see docs/install.md"
        die "the rollback failed; $new runs again"
    fi
    run ln -sfn "$new" $BASE/previous
    tell "Now $old."
}

# As root, because root owns the parent folder. A problem with the backup or the repository is reported
# before anything is stopped.
restore() {
    [ -z "$NODE$LAB" ] || die "restore is for the host of a reconciler"
    [ -e $BASE/current ] || [ -n "$DRY_RUN" ] || die "nothing is installed in $BASE: setup.sh install"
    set -- env TRADING_OPS_ROOT=$PROJECT $BASE/current/bin/trading-ops restore "$KEY" --in-place --owner "${SUDO_USER:-root}"
    run "$@" --dry-run
    for unit in $SERVICES; do run systemctl stop "$unit"; done
    attempt run "$@"
    [ ! -d $VAR ] || run chown -R trading-ops:trading-ops $VAR
    [ ! -d $BACKUPS ] || run chown -R trading-ops:trading-ops $BACKUPS
    [ $failed = 0 ] ||
        die "nothing was restored, and the services are stopped: systemctl start $SERVICES"
    # Copies of tokens for Prometheus and Alertmanager: written again, for their group.
    run rm -rf $VAR/prometheus/secrets $VAR/alertmanager/secrets
    folders
    start
    say "Done. Next: trading-ops audit verify, then trading-ops doctor"
}

main() {
    action=${1:-}
    [ $# = 0 ] || shift
    [ "$action" != restore ] || case ${1:---} in -*) ;; *) KEY=$1; shift ;; esac
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) DRY_RUN=yes ;;
        --no-backup) WITH_BACKUP='' ;;
        --no-prometheus) WITH_PROMETHEUS='' ;;
        --node) shift; NODE=${1:?--node needs a name}; WITH_PROMETHEUS=''; SERVICES=trading-ops-node ;;
        --lab)
            LAB=$LAB_VAR WITH_BACKUP='' USERS=trading-ops-lab SERVICES=trading-ops-lab
            PACKAGE='trading-ops[lab]'
            ;;
        --package) shift; PACKAGE=${1:?--package needs a value} GIVEN=yes ;;
        *) die "unknown option $1" ;;
        esac
        shift
    done
    [ -n "$DRY_RUN" ] || [ "$(id -u)" = 0 ] || die "run it as root, or with --dry-run"
    # Installed with --no-prometheus: a later action must not take over what runs here.
    [ "$action" = install ] || is_ours prometheus || WITH_PROMETHEUS=''
    [ "$action" = uninstall ] || [ -n "$NODE" ] || ! grep -qs "setup.sh --node" $NODE_DEFAULTS ||
        die "only a node is installed here: add --node NAME, or remove $NODE_DEFAULTS"
    for_lab
    case $action in
    install | upgrade)
        [ "$action" = install ] || [ -e $BASE/current ] || [ -n "$DRY_RUN" ] ||
            die "nothing is installed in $BASE: setup.sh install"
        old=$(readlink $BASE/current 2>/dev/null || true)
        same_extras
        [ "$action" = install ] || { restore_point; old_releases; }
        packages
        users
        [ "$action" = install ] && [ -n "$old" ] || release
        attempt configure_and_start
        if [ $failed != 0 ] && [ "$action" = install ]; then
            die "a service does not stay up: journalctl -u 'trading-ops-*'"
        elif [ $failed != 0 ]; then
            new=$(readlink $BASE/current)
            tell "$new does not stay healthy (journalctl -u 'trading-ops-*'): going back to $old"
            unbroken go_to "$old"
            [ "$(readlink $BASE/current)" = "$new" ] || remember "$earlier"
            [ $failed = 0 ] || die "$old does not stay healthy either: see docs/install.md"
            old_releases
            die "the upgrade failed; $old runs again. $new is kept for a look"
        fi
        old_releases
        say "Done. Next${NODE:+, on the host of the reconciler}: trading-ops doctor"
        ;;
    rollback) rollback ;;
    restore) restore ;;
    uninstall) uninstall ;;
    *) die "usage: setup.sh install|upgrade|rollback|restore [ID]|uninstall [--package SPEC] [--node NAME | --lab] [--no-backup] [--no-prometheus] [--dry-run]" ;;
    esac
}

main "$@"
