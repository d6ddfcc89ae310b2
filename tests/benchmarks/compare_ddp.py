#!/usr/bin/env python3
"""Compares a training step of Baleen with PyTorch's DistributedDataParallel, in turn on the same machine.

    tests/benchmarks/compare_ddp.py --sizes 64 128 --rounds 5      against PyTorch
    tests/benchmarks/compare_ddp.py --price --sizes 64 128         what independence of the number of ranks costs

Every round runs each side once, in rotating order; what counts is the median over rounds of the medians within. PyTorch runs in both
memory formats and the faster one is compared with. Run it on a machine that does nothing else.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests/benchmarks/pytorch_reference.py"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/train_bench", help="Baleen's benchmark")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / "build/venv/bin/python", help="interpreter with PyTorch")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="sides of the images in pixels")
    parser.add_argument("--batch", type=int, default=16, help="images per rank; with --price per logical shard, at V = 4")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="measured steps per round")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--price", action="store_true", help="compare Baleen with itself: logical shards, fixed tree")
    parser.add_argument("--json", type=pathlib.Path, help="append every round's lines to this file")
    return parser.parse_args()


def environment():
    # One thread per rank on both sides, for LibTorch reads OMP_NUM_THREADS before any program can say otherwise.
    settings = dict(os.environ, OMP_NUM_THREADS="1")
    if os.geteuid() == 0:
        settings.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return settings


def run(command):
    """The JSON lines that a command prints."""
    done = subprocess.run([str(part) for part in command], env=environment(), capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return lines


def baleen(options, ranks, size, batch, configs, rounds, steps):
    return run(
        ["mpirun", "-n", ranks, "--oversubscribe", "--bind-to", "none", options.program, "--network", "resnet18"]
        + ["--size", size, "--batch", batch, "--configs", configs, "--rounds", rounds, "--steps", steps]
        + ["--precision", options.precision, "--threads", 1]
    )


def pytorch(options, size, channels_last):
    return run(
        [options.python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", options.ranks, REFERENCE]
        + ["--size", size, "--batch", options.batch, "--steps", options.steps, "--precision", options.precision]
        + ["--channels-last", int(channels_last)]
    )


def record(options, name, lines):
    if options.json:
        with options.json.open("a", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps({"side": name, **line}) + "\n")


def compare_with_pytorch(options, size):
    sides = {
        "baleen": lambda: baleen(options, options.ranks, size, options.batch, "1:tree", options.steps, 1),
        "pytorch": lambda: pytorch(options, size, False),
        "pytorch channels_last": lambda: pytorch(options, size, True),
    }
    results = {name: [] for name in sides}
    for number in range(options.rounds):
        names = list(sides)
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            lines = sides[name]()
            record(options, name, lines)
            results[name].append(lines[0])
        shown = ", ".join(f"{name} {results[name][-1]['samples_per_s']:.1f}" for name in names)
        print(f"{size} px, round {number + 1}: samples/s: {shown}", flush=True)

    def middle(name, key):
        return statistics.median(line[key] for line in results[name])

    print(f"{size} px, {options.batch} images on each of {options.ranks} ranks, {options.precision}, medians of {options.rounds} rounds:")
    for name in sides:
        print(f"  {name:24}{middle(name, 'samples_per_s'):8.1f} samples/s {middle(name, 'peak_rss_mb'):8.0f} MB per rank")
    rival = max(("pytorch", "pytorch channels_last"), key=lambda name: middle(name, "samples_per_s"))
    ratios = [a["samples_per_s"] / b["samples_per_s"] for a, b in zip(results["baleen"], results[rival])]
    print(
        f"  against {rival}: {statistics.median(ratios):.2f} times the samples/s (rounds: "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}), "
        f"{middle('baleen', 'peak_rss_mb') / middle(rival, 'peak_rss_mb'):.2f} times the memory"
    )


def price(options, size):
    steps = max(1, options.steps // 5)
    batch = 4 * options.batch
    one = baleen(options, 1, size, batch, "1:tree,2:tree,4:tree", options.rounds, steps)
    record(options, "one rank", one)
    print(f"{size} px, one rank, {batch} images per step, medians of {options.rounds} interleaved rounds:")
    for line, shards in zip(one, (1, 2, 4)):
        print(f"  logical_shards {shards}: {line['median_ms']:8.1f} ms, {line['median_ms'] / one[0]['median_ms']:.3f} times")
    many = baleen(options, options.ranks, size, options.batch, "1:plain,1:tree", options.rounds, steps)
    record(options, "ranks", many)
    print(f"{size} px, {options.ranks} ranks, {options.batch} images each:")
    for line, name in zip(many, ("plain all-reduce", "fixed tree")):
        print(f"  {name:17} {line['median_ms']:8.1f} ms, {line['median_ms'] / many[0]['median_ms']:.3f} times")


def main():
    options = parse_arguments()
    for path, remedy in (
        (options.program, "cmake --preset release && cmake --build --preset release --target train_bench"),
        (options.python, "tests/run.sh --install-only"),
    ):
        if not path.exists():
            sys.exit(f"{path} does not exist. Make it: {remedy}")
    for size in options.sizes:
        (price if options.price else compare_with_pytorch)(options, size)


if __name__ == "__main__":
    main()
