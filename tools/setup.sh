#!/usr/bin/env bash
# Set-up on a bare Debian 12, as root or not; fast when there is nothing left to do.
#
#   setup.sh run   VENV   a virtual environment with the package, enough for the daemon and the demo
#   setup.sh dev   VENV   the same with every development tool, at the versions of constraints/dev.txt
#   setup.sh peers VENV   Debian packages that the suite needs (real Corosync, a C compiler, ...)
#
# Nothing that is installed here is left running, and nothing outside VENV changes unless this is root.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:?run, dev or peers}
venv=${2:?path of the virtual environment}
peers=(corosync libcpg-dev libqb-dev libqb-tools gcc libc6-dev tcpdump iproute2 nftables procps util-linux chromium)

say() { printf 'setup: %s\n' "$*" >&2; }
is_root() { [ "$(id -u)" -eq 0 ]; }

missing() { # names of those packages that are not installed
  local package
  for package in "$@"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
      printf '%s\n' "$package"
  done
}

# Debian starts a service when its package is installed, unless this file says no. It must not stay.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  [ -e "$policy" ] && return
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  local options=(-qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
  say "installing from Debian: $*"
  # A broken third source must not stop us: what counts is whether the packages can be had.
  apt-get "${options[@]}" update </dev/null >/dev/null 2>&1 || true
  forbid_services
  apt-get "${options[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null
}

is_usable() { # an interpreter that is new enough and can make environments
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if is_usable "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

make_venv() {
  if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    return
  fi
  local python
  if ! python=$(find_python); then
    if is_root && command -v apt-get >/dev/null; then
      apt_install python3 python3-venv
    fi
    if ! python=$(find_python); then
      say "needs Python 3.11 or newer with its venv module; on Debian: apt install python3 python3-venv"
      exit 1
    fi
  fi
  say "making $venv with $("$python" -V)"
  "$python" -m venv --clear "$venv"
}

install_package() { # $1: what to install
  local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check
    --no-input -c constraints/dev.txt)
  say "installing Python packages ($what)"
  # The build tool is pinned like everything else, hence no isolated build.
  "${pip[@]}" hatchling editables
  "${pip[@]}" --no-build-isolation -e "$1"
}

case $what in
  run)
    make_venv
    install_package .
    touch "$venv/.unisono-run"
    ;;
  dev)
    make_venv
    install_package '.[dev]'
    touch "$venv/.unisono-run" "$venv/.unisono-dev"
    ;;
  peers)
    if ! command -v dpkg-query >/dev/null; then
      say "not a Debian system: tests beside real Corosync run only if its programs are found"
      exit 0
    fi
    mapfile -t wanted < <(missing "${peers[@]}")
    [ "${#wanted[@]}" -eq 0 ] && exit 0
    if ! is_root; then
      say "not root, and these Debian packages are missing: ${wanted[*]}"
      say "left out: tests beside real Corosync daemons and libcpg programs (marks: interop, root)"
      exit 0
    fi
    apt_install "${wanted[@]}"
    # Ours to use, not to run: a machine that had no Corosync does not start one at its next boot.
    if [[ " ${wanted[*]} " == *" corosync "* ]] && command -v systemctl >/dev/null; then
      systemctl --quiet disable corosync.service >/dev/null 2>&1 || true
    fi
    ;;
  *)
    say "unknown: $what"
    exit 2
    ;;
esac
