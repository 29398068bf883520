#!/usr/bin/env bash
# Installs the foreign peers of the interop tests on Debian or Ubuntu; says what it does, and does nothing twice.
#
#   tests/interop/install.sh          Debian packages (needs root), and PJSIP in .venv-peers
#   tests/interop/install.sh --pjsip  only PJSIP: one wheel in an environment of its own, no root needed
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
peers="$root/.venv-peers"
packages=(sip-tester baresip-core kamailio kamailio-tls-modules rtpengine-daemon tshark sipsak openssl
    chromium coturn iptables)
pjsip=pjsua2-python==2.15.1.post1

missing=()
for package in "${packages[@]}"; do
    # "ii" means installed; a package that was removed but not purged is known to dpkg as well.
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
done
if [[ ${1:-} != --pjsip && ${#missing[@]} -gt 0 ]]; then
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here: install what these Debian packages hold: ${missing[*]}" >&2
        exit 1
    elif [[ $EUID -ne 0 ]]; then
        echo "needs root: sudo $0   (installs ${missing[*]}; --pjsip alone works without)" >&2
        exit 1
    fi
    # The tests start every peer themselves: a policy-rc.d of our own keeps apt from starting services meanwhile.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# PJSIP is GPL: it stays out of the project's environment and runs in a process of its own.
if ! "$peers/bin/python" -c 'import pjsua2' 2>/dev/null; then
    python=python3
    # The wheel exists for 3.8 to 3.12; the project's own Python may be newer.
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3; do
        if [[ -n $candidate ]] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 12))'; then
            python=$candidate
            break
        fi
    done
    "$python" -m venv "$peers"
    echo '*' >"$peers/.gitignore"
    "$peers/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --no-deps "$pjsip"
fi
echo "interop peers are ready"
