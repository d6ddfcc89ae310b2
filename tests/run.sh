#!/usr/bin/env bash
# Installs what is missing, builds Baleen with its tests, and runs them.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/run.sh [options] [-- ctest options]

Installs what is missing, configures, builds and tests. Ends with how long each phase took and ctest's verdict; the exit
code is ctest's.

  --fast             unit tests only
  --label NAME       tests of one label only: unit mpi parity e2e faults cluster lint gpu slow
  --preset NAME      ci (default), dev, release, asan (unit and mpi tests), tsan (threaded parts)
  --no-install       check and install nothing
  --install-only     install and stop
  -j N, --jobs N     parallel compilers and tests; default: the number of processors
  -h, --help         this text

Environment:
  BALEEN_CLUSTER=1   all tests labelled cluster instead of a share: a real Slurm and two hosts, a minute each, as root
  BALEEN_SLOW=1      those labelled slow, too: minutes each, of what others test in a smaller way; networks of every depth

Examples:
  tests/run.sh                            all that CI runs
  tests/run.sh --fast                     while working
  tests/run.sh --preset asan              memory errors and undefined behaviour
  tests/run.sh --no-install -- -R data    tests whose name contains "data"
TEXT
}

die() {
  printf 'run.sh: %s\n' "$@" >&2
  exit 1
}

preset=ci label="" install=1 install_only=0 jobs=$(nproc)
while [[ $# -gt 0 ]]; do
  case "$1" in
    --fast) label=unit ;;
    --label | --preset | --jobs | -j)
      [[ $# -ge 2 ]] || die "$1 needs a value"
      case "$1" in
        --label) label=$2 ;;
        --preset) preset=$2 ;;
        *) jobs=$2 ;;
      esac
      shift ;;
    --no-install) install=0 ;;
    --install-only) install_only=1 ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; printf "run.sh: unknown option '%s'\n" "$1" >&2; exit 2 ;;
  esac
  shift
done

cd "$(dirname "$0")/.."
# shellcheck source=launch/environment.sh
source launch/environment.sh

phases=""
phase_done() {  # phase_done NAME START
  phases+="${phases:+, }$1 $(seconds_since "$2") s"
}

if [[ $install == 1 ]]; then
  start=$SECONDS
  launch/install.sh tests
  phase_done install "$start"
fi
if [[ $install_only == 1 ]]; then
  echo "run.sh: all that is needed is installed ($phases)"
  exit 0
fi

start=$SECONDS
log=build/$preset/configure.log
mkdir -p "build/$preset"
cmake --preset "$preset" -DBALEEN_CLUSTER_TESTS="${BALEEN_CLUSTER:-0}" >"$log" 2>&1 || { cat "$log" >&2; die "CMake could not configure the preset '$preset' (see above)"; }
phase_done configure "$start"

start=$SECONDS
cmake --build --preset "$preset" -j "$jobs" || die "the build failed (see the first error above)"
phase_done build "$start"

start=$SECONDS
selection=()
if [[ -n $label ]]; then
  selection=(--label-regex "^$label\$")
elif [[ ${BALEEN_SLOW:-0} != 1 ]]; then
  selection=(--label-exclude '^slow$')
fi
status=0
ctest --preset "$preset" -j "$jobs" --output-log "build/$preset/tests.log" "${selection[@]}" "$@" || status=$?
phase_done tests "$start"

verdict=$(grep -E '^[0-9]+% tests passed' "build/$preset/tests.log" | tail -n 1 || true)
skipped=$(grep -cE '\*\*\*Skipped' "build/$preset/tests.log" || true)
echo "$skipped skipped; $phases"
echo "${verdict:-no test ran}"
exit "$status"
