#!/usr/bin/env bash
# From a fresh clone to a trained, stacked and reported ensemble on real photographs, in one command.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: launch/quickstart.sh [options]

Installs what is missing, builds the program, packs Fashion-MNIST (70,000 photographs of products, from the Debian package
dataset-fashion-mnist), trains 3 folds x {SimpleNet, ResNet-18} x two resolutions under mpirun, stacks the out-of-fold
predictions and writes a report. Interrupt it and run it again: it goes on where it was. Once complete it says so.

  --ranks N        processes that mpirun starts; default 2. The results are the same for any number.
  --run-dir PATH   where the run is kept; default runs/quickstart
  --no-install     check and install nothing
  -h, --help       this text
TEXT
}

die() {
  printf 'quickstart: %s\n' "$@" >&2
  exit 1
}

ranks=2 run_dir=runs/quickstart install=1
while [[ $# -gt 0 ]]; do
  case "$1" in
    --ranks | --run-dir)
      [[ $# -ge 2 ]] || die "$1 needs a value"
      if [[ $1 == --ranks ]]; then ranks=$2; else run_dir=$(realpath -m "$2"); fi
      shift ;;
    --no-install) install=0 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; printf "quickstart: unknown option '%s'\n" "$1" >&2; exit 2 ;;
  esac
  shift
done
[[ $ranks =~ ^[1-9][0-9]*$ ]] || die "--ranks needs a whole number from 1, not '$ranks'"

cd "$(dirname "$0")/.."
# shellcheck source=launch/environment.sh
source launch/environment.sh
build=build/quickstart
baleen=$build/bin/baleen

say() {
  printf '\n== %s\n' "$1"
}

if [[ $install == 1 ]]; then
  launch/install.sh quickstart
fi

start=$SECONDS
say "Building the program"
log=$build/configure.log
mkdir -p "$build"
cmake --preset release -B "$build" -DBALEEN_TESTS=OFF >"$log" 2>&1 ||
  { cat "$log" >&2; die "CMake could not configure the build (see above)"; }
cmake --build "$build" --target baleen -j "$(nproc)" || die "the build failed (see the first error above)"
echo "built in $(seconds_since "$start") s: $baleen"

say "Packing Fashion-MNIST"
"$baleen" pack experiments/recipes/quickstart-data.yaml experiments/recipes/quickstart-test-data.yaml

say "Training, stacking and reporting ($ranks ranks)"
status=0
mpirun -n "$ranks" --oversubscribe --bind-to none "$baleen" run experiments/recipes/quickstart.yaml --run-dir "$run_dir" ||
  status=$?
if [[ $status -ne 0 ]]; then
  echo "quickstart: the run ended with code $status (docs/exit-codes.md); start this script again to go on where it was" >&2
fi
exit "$status"
