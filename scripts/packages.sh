# Sourced by setup.sh: finds missing Debian packages and installs them without starting or enabling
# their services.
# shellcheck shell=bash

POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# written by trading-ops set-up, which removes it again; process'
WE_WROTE_POLICY=''
CLUSTERS=/etc/postgresql-common/createcluster.d/trading-ops.conf
WE_WROTE_CLUSTERS=''
POSTGRESQL=/usr/lib/postgresql

have() { command -v "$1" >/dev/null 2>&1; }

# Print the packages of the tools that are not on the PATH.
missing_tool_packages() {
    local packages=''
    have prometheus && have promtool || packages='prometheus'
    { have alertmanager || have prometheus-alertmanager; } && have amtool ||
        packages="$packages prometheus-alertmanager"
    printf '%s' "${packages# }"
}

# Print the packages that only the tests need: they create PostgreSQL clusters.
missing_test_packages() {
    have_postgresql || printf 'postgresql '
    have pgbackrest || printf 'pgbackrest '
    have dbus-daemon || printf 'dbus '
    [ -x /lib/systemd/systemd ] || printf systemd
}

have_postgresql() {
    local folder
    have initdb && have postgres && return
    for folder in "$POSTGRESQL"/*/bin $(pg_config --bindir 2>/dev/null || true); do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return
    done
    return 1
}

# Print the package with the venv module of a Debian Python.
venv_package() {
    case $1 in
    /usr/bin/*) "$1" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])' ;;
    *) die "$1 has no working venv module: install it, or name another Python with PYTHON=/usr/bin/python3" ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Whether as_root will work: as root, with passwordless sudo, or with a terminal for the password.
can_be_root() {
    [ "$(id -u)" = 0 ] && return
    have sudo || return
    sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

install_packages() {
    have apt-get || die "these are missing and this is no Debian: $*. Install Prometheus and" \
        "Alertmanager (with promtool and amtool; for the tests PostgreSQL with initdb and postgres)" \
        "so that they are on the PATH"
    can_be_root || die "these Debian packages are missing: $*. You are not root and cannot use sudo:" \
        "ask your administrator to run: apt-get install --no-install-recommends $*"
    say "Installing Debian packages: $*"
    local ours=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
            ours+=("$package")
    done
    trap restore_policy EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    forbid_service_starts
    forbid_clusters "$@"
    quietly apt_get update || quietly apt_get update ||
        die "apt-get update failed twice (see above): check the network and run this again"
    quietly apt_get install --no-install-recommends "$@" ||
        die "apt-get could not install $* (see above): correct that and run this again"
    restore_policy
    trap - EXIT INT TERM
    keep_down_at_boot "${ours[@]}"
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}

# Run without output; show the end of the output only on failure.
quietly() {
    local output status=0
    output=$(mktemp)
    "$@" >"$output" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] || tail -n 15 "$output" >&2
    rm -f "$output"
    return "$status"
}

# A killed set-up could not remove its policy file. It is ours if it has the mark and the process in it
# has ended.
remove_left_policy() {
    is_left $CLUSTERS && can_be_root && as_root rm -f $CLUSTERS
    is_left $POLICY || return 0
    can_be_root || die "an interrupted set-up left $POLICY, which keeps every service from starting:" \
        "ask your administrator to run: rm $POLICY"
    as_root rm -f $POLICY
}

is_left() {
    local mark
    mark=$(grep -F "$POLICY_MARK" "$1" 2>/dev/null) || return
    ! grep -qaF setup.sh "/proc/${mark##* }/cmdline" 2>/dev/null
}

# Debian starts a service when its package is installed, unless this file says no (101).
forbid_service_starts() {
    [ -e $POLICY ] && return # not ours: keep it
    WE_WROTE_POLICY=yes
    # Atomically: a partial file would have no mark.
    as_root sh -c "printf '%s\n' '#!/bin/sh' '$POLICY_MARK $$' 'exit 101' >$POLICY.new &&
        chmod 755 $POLICY.new && mv $POLICY.new $POLICY"
}

# Debian creates a cluster when PostgreSQL is installed, which would start at the next boot. Without a
# cluster, the service has nothing to start; one can be created later as usual.
forbid_clusters() {
    case " $* " in *" postgresql "*) ;; *) return 0 ;; esac
    WE_WROTE_CLUSTERS=yes
    as_root sh -c "mkdir -p ${CLUSTERS%/*} &&
        printf '%s\n' '$POLICY_MARK $$' 'create_main_cluster = false' >$CLUSTERS"
}

restore_policy() {
    [ -z "$WE_WROTE_CLUSTERS" ] || as_root rm -f $CLUSTERS
    WE_WROTE_CLUSTERS=''
    [ -n "$WE_WROTE_POLICY" ] || return 0
    as_root rm -f $POLICY
    WE_WROTE_POLICY=''
}

# Services of the packages that we installed must not start at the next boot; others are not touched.
keep_down_at_boot() {
    local package
    for package in "$@"; do
        case $package in prometheus | prometheus-alertmanager) ;; *) continue ;; esac
        if have systemctl; then
            quietly as_root systemctl disable "$package.service" || true
            # An existing policy may have allowed the start.
            [ ! -d /run/systemd/system ] || quietly as_root systemctl stop "$package.service" || true
        elif have update-rc.d; then
            quietly as_root update-rc.d "$package" disable || true
        fi
    done
}
