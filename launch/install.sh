#!/usr/bin/env bash
# Installs what Baleen needs to be built and run, and nothing that is there already.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/install.sh [quickstart|tests] [--help]

Installs what is missing of
  - Debian packages (compiler, Open MPI, HDF5, OpenCV, yaml-cpp, ...), with apt-get, through sudo when not root;
  - PyPI wheels, into build/venv: LibTorch for `quickstart`; PyTorch with all its dependencies and the other packages
    that results are compared with for `tests`.
A second run finds everything in place, needs no network and ends in less than a second.

Environment:
  BALEEN_APT=0         install no Debian packages (a cluster with modules; see "Without root" in README.md)
  BALEEN_GPU=1 or 0    install (or leave out) what the GPU plugin needs; default: 1 where an NVIDIA device is found
  LIBTORCH_ROOT=PATH   `quickstart` uses this LibTorch and downloads none
  BALEEN_BROWSER=0     `tests` installs no Chromium (100 MB), in which the test of the HTML pages opens them
  BALEEN_CLUSTER=1 or 0  `tests` installs (or leaves out) Slurm, munge and sshd, for the tests labelled `cluster`; default: 1 as root
  PYTHON=PROGRAM       the Python (3.11 or newer) that makes build/venv; default: python3
TEXT
}

die() {
  printf 'install: %s\n' "$@" >&2
  exit 1
}

profile=quickstart
for argument in "$@"; do
  case "$argument" in
    quickstart | tests) profile=$argument ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument '$argument'" ;;
  esac
done

cd "$(dirname "$0")/.."
venv=build/venv

# On a machine that somebody uses, an installed sshd would be started: only where asked for.
with_cluster() {
  case "${BALEEN_CLUSTER:-}" in
    0) return 1 ;;
    1) return 0 ;;
    *) [[ $(id -u) -eq 0 ]] ;;
  esac
}

packages=(g++ cmake ninja-build ccache lld pkg-config python3 python3-venv
  libopenmpi-dev openmpi-bin libhdf5-dev libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
  libjpeg-dev zlib1g-dev libyaml-cpp-dev libspdlog-dev libcli11-dev nlohmann-json3-dev libeigen3-dev
  libopencv-flann-dev libxxhash-dev libisal-dev libjs-chart.js dataset-fashion-mnist)
if [[ $profile == tests ]]; then
  packages+=(libgtest-dev libgmock-dev hdf5-tools clang-format clang-tidy doxygen mandoc)
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then as_root=(sudo); fi

# install_packages PACKAGE...: those of them that are missing.
install_packages() {
  local packages=("$@")
  if [[ ${BALEEN_APT:-1} == 0 ]]; then return; fi
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    die "no apt-get here. Baleen needs these packages, or your system's equals:" "  ${packages[*]}" \
      "Load or install them, make them known through CMAKE_PREFIX_PATH and PKG_CONFIG_PATH, then set BALEEN_APT=0" \
      "and run this again (README.md, \"Without root\")."
  fi
  local present missing=() package
  # One call for all of them; dpkg-query says 1 when some are unknown, which is what we want to find out.
  present=" $(dpkg-query -W -f='${db:Status-Status}:${Package} ' "${packages[@]}" 2>/dev/null || true)"
  for package in "${packages[@]}"; do
    [[ $present == *" installed:$package "* ]] || missing+=("$package")
  done
  if [[ ${#missing[@]} -eq 0 ]]; then return; fi

  if [[ $(id -u) -ne 0 ]] && ! command -v sudo >/dev/null; then
    die "these packages are missing, and neither root nor sudo is at hand: ${missing[*]}" \
      "Ask for them, or see \"Without root\" in README.md and set BALEEN_APT=0."
  fi
  echo "install: Debian packages: ${missing[*]}"
  # The lists may be absent (a fresh image) or stale: one refresh, only when something is missing.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update ||
    die "apt-get update failed; is the network (or the proxy in /etc/apt) all right?"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o=Dpkg::Use-Pty=0 install -y --no-install-recommends \
    "${missing[@]}" >/dev/null || die "apt-get could not install: ${missing[*]}"
}

# OpenCV's key points and homographies are two small libraries, but their -dev packages depend on windows, video and a
# desktop: only the headers are taken out of these, into build/opencv. Where OpenCV is installed as a whole, nothing is done.
install_opencv_parts() {
  local version suffix headers=build/opencv parts=(libopencv-features2d libopencv-calib3d)
  if [[ ${BALEEN_APT:-1} == 0 || -f /usr/include/opencv4/opencv2/calib3d.hpp ]]; then return; fi
  version=$(dpkg-query -W -f='${Version}' libopencv-core-dev)
  suffix=$(dpkg-query -W -f='${Depends}' libopencv-core-dev | grep -o 'libopencv-core[0-9][^ ,]*' | head -n 1)
  install_packages "${parts[@]/%/${suffix#libopencv-core}}"
  if [[ -f $headers/version && $(<"$headers/version") == "$version" ]]; then return; fi
  echo "install: headers of ${parts[*]} into $headers"
  rm -rf "$headers"
  mkdir -p "$headers/packages"
  (
    cd "$headers/packages"
    fetch() { apt-get -qq -o APT::Sandbox::User=root download "${parts[@]/%/-dev=$version}"; }
    fetch 2>/dev/null || { "${as_root[@]}" apt-get -qq update && fetch; }
  ) || die "apt-get could not download the -dev packages of ${parts[*]} $version"
  local package
  for package in "$headers"/packages/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$headers" ./usr/include; done
  rm -r "$headers/packages"
  echo "$version" >"$headers/version"
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
    if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  die "no Python of version 3.11 or newer that can make virtual environments (the module ensurepip is missing)." \
    "On Debian: apt-get install python3-venv. Else name one: PYTHON=/path/to/python3 $0 $profile"
}

with_gpu() {
  case "${BALEEN_GPU:-}" in
    0) return 1 ;;
    1) return 0 ;;
    *) [[ -e /dev/nvidiactl || -e /dev/dxg ]] ;;
  esac
}

digest_of() {
  cat launch/requirements*.txt "$1" | sha256sum | cut -d' ' -f1
}

# is_current NAME FILE: whether build/venv holds what FILE lists.
is_current() {
  local stamp=$venv/.baleen-$1
  [[ -f $stamp && $(<"$stamp") == "$(digest_of "$2")" && -x $venv/bin/python ]]
}

# install_wheels NAME FILE [pip options]: brings build/venv to what FILE lists, once for each content of FILE.
install_wheels() {
  local name=$1 file=$2
  shift 2
  if is_current "$name" "$file"; then return; fi
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    local python
    python=$(find_python)
    rm -rf "${venv:?}"/* "$venv"/.baleen-*
    mkdir -p "$venv"
    "$python" -m venv "$venv" || die "$python could not make a virtual environment in $venv"
  fi
  echo "install: PyPI wheels of $file into $venv"
  PIP_ROOT_USER_ACTION=ignore "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" \
    -r "$file" || die "pip could not install $file; is the network (or the index in pip's configuration) all right?"
  digest_of "$file" >"$venv/.baleen-$name"
}

mkdir -p build
install_packages "${packages[@]}"
install_opencv_parts
if [[ $profile == tests && ${BALEEN_BROWSER:-1} != 0 ]]; then
  # The test of the pages skips and says so where this fails.
  (install_packages chromium fonts-dejavu-core) || echo "install: going on without a browser" >&2
fi
if [[ $profile == tests ]] && with_cluster; then
  # Their tests skip and say so where this fails; all others don't need them.
  (install_packages slurm-wlm munge openssh-server openssh-client iproute2) || echo "install: going on without a test cluster" >&2
fi
if [[ $profile == tests ]]; then
  install_wheels tests tests/requirements.txt
  install_wheels networks tests/requirements-networks.txt --no-deps
elif [[ -n ${LIBTORCH_ROOT:-} ]]; then
  [[ -f $LIBTORCH_ROOT/lib/libtorch_cpu.so ]] || die "LIBTORCH_ROOT=$LIBTORCH_ROOT holds no lib/libtorch_cpu.so"
elif is_current tests tests/requirements.txt; then
  : # the tests' environment holds all that the program needs
elif with_gpu; then
  install_wheels gpu launch/requirements-gpu.txt
else
  install_wheels runtime launch/requirements.txt --no-deps
fi
