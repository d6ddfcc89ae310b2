#!/usr/bin/env python3
"""Compares the loader with FFCV, DALI's CPU pipeline and torchvision + DataLoader, one process each, in turn on the same machine.

    python -m venv build/loaders && build/loaders/bin/pip install -r tests/benchmarks/requirements-loaders.txt
    build/loaders/bin/pip install --no-deps ffcv==1.0.2
    tests/benchmarks/compare_loader.py --python build/loaders/bin/python --chips $BALEEN_DATA/planet/train --rounds 5

256-px chips from memory, random-resized crop to 224 px and flip. Every round runs each side once, in rotating order; what counts is
the median over rounds of the rounds' ratios of images per CPU second (and per second of wall time with two threads). Run it on a
machine that does nothing else.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OTHERS = ROOT / "tests/benchmarks/other_loaders.py"
PACK = """output: {work}/packed-{encoding}
source: csv_ids
images: {work}/chips
labels_file: {work}/labels.csv
encoding: {encoding}
size_px: 256
fit: squash
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="folder of Baleen's build")
    parser.add_argument("--python", type=pathlib.Path, default=sys.executable, help="interpreter with the other loaders")
    parser.add_argument("--chips", type=pathlib.Path, required=True, help="folder of 256-px JPEGs")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/loader-bench")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--skip", nargs="*", default=[], help="names of sides to leave out")
    return parser.parse_args()


def run(command):
    settings = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run([str(part) for part in command], env=settings, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return lines[-1] if lines else None


def prepare(options):
    if (options.work / "packed-jpeg/manifest.json").exists():
        return
    shutil.rmtree(options.work, ignore_errors=True)
    run([options.python, OTHERS, "prepare", options.chips, options.work])
    for encoding in ("raw", "jpeg"):
        recipe = options.work / f"{encoding}.yaml"
        recipe.write_text(PACK.format(work=options.work, encoding=encoding))
        run([options.build / "bin/baleen", "pack", recipe])


def sides(options, threads):
    bench = options.build / "benchmarks/loader_bench"
    common = ["--threads", threads, "--seconds", options.seconds]
    result = {}
    for encoding in ("raw", "jpeg"):
        data = ["--data", options.work / f"packed-{encoding}"]
        for out in ("bytes", "float"):
            result[f"baleen {encoding} {out}"] = [bench, "--task", "crop", *data, "--out", out, *common]
    data = ["--data", options.work / "packed-raw"]
    for out in ("bytes", "float"):
        result[f"baleen plain {out}"] = [bench, "--task", "plain", *data, "--out", out, *common]
        result[f"copy {out}"] = [bench, "--task", "copy", "--out", out, *common]
    others = [("ffcv_raw", ("bytes", "float")), ("ffcv_jpeg", ("bytes",)), ("dali", ("bytes",)), ("torchvision", ("bytes",)), ("turbojpeg", ("bytes",))]
    for name, outs in others:
        for out in outs:
            result[f"{name} {out}"] = [options.python, OTHERS, name, options.work, "--out", out, *common]
    return {name: command for name, command in result.items() if not any(word in name for word in options.skip)}


COMPARED = [
    ("baleen raw bytes", "ffcv_raw bytes"),
    ("baleen raw float", "ffcv_raw float"),
    ("baleen raw float", "ffcv_raw bytes"),
    ("baleen jpeg bytes", "ffcv_jpeg bytes"),
    ("baleen jpeg float", "ffcv_jpeg bytes"),
    ("baleen jpeg bytes", "turbojpeg bytes"),
    ("baleen jpeg bytes", "dali bytes"),
    ("baleen jpeg bytes", "torchvision bytes"),
    ("baleen plain bytes", "copy bytes"),
    ("baleen plain float", "copy float"),
]


def compare(options, threads):
    commands = sides(options, threads)
    results = {name: [] for name in commands}
    for number in range(options.rounds):
        names = list(commands)
        shift = number * 3 % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(run(commands[name]))
    print(f"\n{threads} thread{'s' if threads > 1 else ''}, medians of {options.rounds} rounds of {options.seconds:g} s:\n")
    print("| loader | images/s | images per CPU second |")
    print("| --- | ---: | ---: |")
    for name, lines in results.items():
        wall, cpu = (statistics.median(line[key] for line in lines) for key in ("per_second", "per_cpu_second"))
        print(f"| {name} | {wall:,.0f} | {cpu:,.0f} |")
    print("\n| | per CPU second (rounds) | per second |")
    print("| --- | --- | ---: |")
    for ours, theirs in COMPARED:
        if ours not in results or theirs not in results:
            continue
        ratios = {
            key: [a[key] / b[key] for a, b in zip(results[ours], results[theirs])] for key in ("per_second", "per_cpu_second")
        }
        rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios["per_cpu_second"])
        print(
            f"| {ours} to {theirs} | {statistics.median(ratios['per_cpu_second']):.2f} times ({rounds}) "
            f"| {statistics.median(ratios['per_second']):.2f} times |",
            flush=True,
        )


def main():
    options = parse_arguments()
    prepare(options)
    for threads in options.threads:
        compare(options, threads)


if __name__ == "__main__":
    main()
