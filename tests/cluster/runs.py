"""What the tests on Slurm and on two hosts train, and how they look at it."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

import harness  # noqa: E402
from guides import commands_in  # noqa: E402  (the harness knows where it lies)
from harness import shell, typing_environment as environment  # noqa: E402
from isolation import run  # noqa: E402

RUN = pathlib.Path("runs/planet")


def prepare(directory, epochs=2):
    """Data and planet.yaml as the guides have it; the digests of an undisturbed run on one rank."""
    harness.make_dataset(directory, samples=120)
    harness.make_dataset(directory, "test", samples=30, seed=1)
    recipe = json.loads(harness.write_recipe(directory, **harness.DEEP_NETWORKS).read_text())
    # Three chains for two ranks: the last one is shared between them, so that gradients cross the network.
    recipe.update(name="planet", folds={"count": 3}, backbones=[{"name": "simplenet_cifar", "dropout": 0.1}])
    recipe.pop("run_dir")
    recipe["training"]["logical_shards"] = 2
    recipe["prediction"].pop("tta")
    recipe["stages"][0]["epochs"] = epochs
    (directory / "planet.yaml").write_text(json.dumps(recipe, indent=1))
    start = time.monotonic()
    harness.call(["run", "planet.yaml", "--run-dir", "reference"], directory)
    print(f"an undisturbed run takes {time.monotonic() - start:.1f} s", flush=True)
    return harness.result_digests(directory / "reference")


def has_checkpoint(directory):
    """A chain is under way: something was saved in the middle of it."""
    return any((directory / RUN).glob("chains/*/checkpoint-*.json"))


def is_done(directory):
    journal = directory / RUN / "journal.jsonl"
    return journal.exists() and any('"run_finished"' in line for line in journal.read_text().splitlines())


def expect_reference(directory, reference, what):
    harness.expect_same_results(directory / RUN, reference, what)


def launch_events(directory):
    file = directory / RUN / "launch.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main(test):
    with tempfile.TemporaryDirectory(prefix="baleen-cluster-") as name:
        pathlib.Path(name).chmod(0o755)
        try:
            test(pathlib.Path(name))
        except (AssertionError, subprocess.TimeoutExpired) as failure:
            traceback.print_exc()
            print(f"FAILED: {failure}", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)  # the namespaces end with this process, and all in them
    print("passed", flush=True)


__all__ = ["RUN", "run", "harness", "prepare", "commands_in", "environment", "shell", "has_checkpoint", "is_done", "expect_reference", "launch_events",
           "main"]
