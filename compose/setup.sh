# Sourced by ./start and ./test: makes this machine able to run Countermark. Safe to run again; says nothing
# when nothing is to do. Sets: venv_python. Needs: here (the checkout), requirements (a hashed file).
# Run by hand, as root, `sh compose/setup.sh packages` installs the system packages and nothing else; with
# `packages tests`, those that only ./test needs, too.
#
# Nothing of a distribution is left running: PostgreSQL is told to make no cluster of its own, and Redis comes
# from redis-tools, whose one binary is also the server and which brings no service.

fail_prerequisite() {
    printf '%s\n' "$*" >&2
    exit 3
}

python_ok() {
    [ -x "$1" ] && "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Debian's own interpreter first: services with accounts of their own must be able to read it.
find_python() {
    for candidate in /usr/bin/python3 /usr/local/bin/python3 "$(command -v python3 2>/dev/null || true)"; do
        if [ -n "$candidate" ] && python_ok "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

postgres_present() {
    for program in /usr/lib/postgresql/*/bin/postgres; do
        [ -x "$program" ] && return 0
    done
    return 1
}

# What the development requirements are installed for needs more of the system than what runs in production.
for_tests() {
    [ "${requirements##*/}" = requirements-dev.txt ]
}

missing_packages() {
    [ -n "$(find_python)" ] || printf 'python3 python3-venv '
    postgres_present || printf 'postgresql '
    command -v redis-server >/dev/null 2>&1 || [ -x /usr/bin/redis-check-rdb ] || printf 'redis-tools '
    for pair in openssl:openssl curl:curl setpriv:util-linux flock:util-linux useradd:passwd; do
        # An ordinary user's PATH may lack the folder that useradd is in.
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || printf '%s ' "${pair##*:}"
    done
    [ -e /etc/ssl/certs/ca-certificates.crt ] || printf 'ca-certificates '
    # A token in software, for the tests of keys in tokens.
    ! for_tests || [ -e /usr/lib/softhsm/libsofthsm2.so ] || printf 'softhsm2 '
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        fail_prerequisite "Missing, and there is no apt-get to install it with: $1(names of Debian 12)."
    [ "$(id -u)" -eq 0 ] || fail_prerequisite "Missing: $1
Run this once, as root, then start again:
    sudo sh $here/compose/setup.sh packages$(! for_tests || printf ' tests')"
    printf 'setup: installing %s\n' "$1" >&2
    # Services of the packages must not start: this stack runs its own, and only with mutual TLS.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 0755 "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        printf 'create_main_cluster = false\n' > /etc/postgresql-common/createcluster.conf
    fi
    log=$(mktemp)
    # shellcheck disable=SC2086 # A list of package names.
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            -o Dpkg::Options::=--force-confold $1; } > "$log" 2>&1 < /dev/null; then
        tail -n 15 "$log" >&2
        fail_prerequisite "The packages could not be installed (log: $log). Mend the cause, then start again."
    fi
    rm -f "$log"
    if [ "$(cat "$policy" 2>/dev/null)" = "$(printf '#!/bin/sh\nexit 101')" ]; then
        rm -f "$policy"
        trap - EXIT
    fi
}

make_venv() {
    venv="$here/.venv"
    stamp="$venv/.installed-$(sha256sum "$requirements" | cut -c1-16)"
    venv_python="$venv/bin/python"
    if [ -e "$stamp" ] && [ -x "$venv_python" ]; then
        return
    fi
    [ -w "$here" ] || fail_prerequisite "$here cannot be written by $(id -un): clone the repository where you may write."
    printf 'setup: installing pinned libraries into .venv\n' >&2
    umask 022
    if ! python_ok "$venv_python"; then
        rm -rf "$venv"
        "$(find_python)" -m venv "$venv" || fail_prerequisite "Python cannot make a virtual environment: install python3-venv."
    fi
    if ! "$venv_python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
            --only-binary=:all: -r "$requirements" >&2; then
        fail_prerequisite "The libraries could not be installed (see above). Without a network the first start is not
possible; behind a proxy that inspects TLS, name its authority in PIP_CERT."
    fi
    : > "$stamp"
}

set_up_packages() {
    missing=$(missing_packages)
    [ -z "$missing" ] || install_packages "$missing"
    still=$(missing_packages)
    [ -z "$still" ] || fail_prerequisite "Still missing after installing: $still(is this Debian 12 or newer?)"
}

set_up() {
    set_up_packages
    if [ ! -e "$here/.venv/.installed-$(sha256sum "$requirements" | cut -c1-16)" ]; then
        exec 9> "$here/.setup.lock"
        flock 9
        make_venv
        exec 9>&-
    fi
    venv_python="$here/.venv/bin/python"
}

case "${0##*/} ${1-}" in
"setup.sh packages")
    set -eu
    here=$(cd "$(dirname "$0")/.." && pwd)
    requirements=requirements${2:+-dev}.txt
    set_up_packages
    ;;
esac
