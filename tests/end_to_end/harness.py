"""What the end-to-end tests share: a small dataset, a recipe, and ways to start, kill and compare runs.

Environment (set by ctest): BALEEN_BIN, BALEEN_SOURCE, BALEEN_DATA.
"""

import copy
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

BALEEN = os.environ["BALEEN_BIN"]
# A plug-in with a network that does what BALEEN_FAULTY says (tests/faults/faulty_network.cpp).
FAULTY_NETWORK = str(pathlib.Path(os.path.realpath(BALEEN)).parents[1] / "tests/faults/libbaleen_faulty_network.so")


class Failure(AssertionError):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


def write_idx(path, array):
    """An IDX file of bytes, as Fashion-MNIST comes in."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def make_dataset(directory, name="data", samples=240, classes=4, size=16, seed=0):
    """Packs noisy pictures whose class is the place of a bright bar; returns the packed directory."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, samples)
    images = rng.integers(0, 90, (samples, size, size))
    width = size // classes
    for image, label in zip(images, labels):
        image[:, label * width : (label + 1) * width] += 120
    write_idx(directory / f"{name}-images-idx3-ubyte", images)
    write_idx(directory / f"{name}-labels-idx1-ubyte", labels)
    description = directory / f"{name}-pack.yaml"
    description.write_text(
        f"output: {name}\nsource: idx\nimages: {name}-images-idx3-ubyte\n"
        f"labels_file: {name}-labels-idx1-ubyte\nchannels: 1\nshard_samples: 100\n"
    )
    call(["pack", description], directory)
    return directory / name


def change(content, changes):
    """Sets values by path: stages__0__epochs=3 is content["stages"][0]["epochs"] = 3; sections that lack are made."""
    for key, value in changes.items():
        target = content
        *path, last = key.split("__")
        for part in path:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target[int(part)]
        target[last] = copy.deepcopy(value)  # constants stay what they are


def two_stages(first_px, second_px):
    """Two resolutions, each with what the other lacks of augmentation, optimiser and moving averages."""
    return [
        {"size_px": first_px, "epochs": 2, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}, "augment": {"flip_vertical": True}},
        {"size_px": second_px, "epochs": 1, "batch": 24, "optimizer": {"kind": "adamw", "lr": 0.0005},
         "ema": {"enabled": True, "decay": 0.9}},
    ]


# Changes to write_recipe() for what small networks would not show: steps of a good part of a second, checkpoints of many MB.
DEEP_NETWORKS = {"backbones": [{"name": "resnet18", "dropout": 0.2}, {"name": "simplenet_cifar", "dropout": 0.1}],
                 "stages": two_stages(8, 12)}


def write_recipe(directory, **changes):
    """A recipe of seconds: 2 folds of two networks through two resolutions, with dropout and batch norm."""
    recipe = {
        "name": "small",
        "run_dir": "run",
        "dataset": "data",
        "test": "test",
        "folds": {"count": 2},
        "backbones": [{"name": "conv4", "dropout": 0.2}, {"name": "simplenet64", "dropout": 0.1}],
        "stages": two_stages(16, 20),
        "loss": {"kind": "cross_entropy"},
        "images": {"normalise": {"kind": "half"}},
        "training": {"logical_shards": 4, "checkpoint_every_steps": 2},
        "prediction": {"chunk": 16, "tta": ["identity", "flip_vertical"]},
    }
    change(recipe, changes)
    file = directory / "recipe.yaml"
    file.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
    return file


def environment():
    env = dict(os.environ, OMP_NUM_THREADS="1", OMPI_MCA_mpi_yield_when_idle="1")
    if os.geteuid() == 0:
        env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    return env


def command(arguments, ranks=None):
    line = [BALEEN, *map(str, arguments)]
    if ranks:
        line = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", *line]
    return line


def call(arguments, directory, ranks=None, code=0, timeout=300):
    """Runs to the end; returns everything printed. Fails when the exit code differs."""
    done = subprocess.run(command(arguments, ranks), cwd=directory, env=environment(), timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    expect(code is None or done.returncode == code,
           f"{' '.join(map(str, arguments))} on {ranks} ranks: exit code {done.returncode} instead of {code}\n{done.stdout}")
    return done.stdout


def typing_environment(**more):
    """For commands as the guides have them: `baleen` is on the PATH."""
    variables = environment()
    variables["PATH"] = f"{pathlib.Path(BALEEN).parent}:{variables['PATH']}:/usr/sbin:/sbin"
    variables.update(more)
    return variables


def shell(line, directory, code=0, timeout=240, env=None):
    """A line as a user types it; returns what it printed."""
    start = time.monotonic()
    done = subprocess.run(["bash", "-c", line], cwd=directory, env=env or typing_environment(), timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    print(f"{time.monotonic() - start:5.1f} s, exit code {done.returncode}: {line}", flush=True)
    expect(code is None or done.returncode == code, f"`{line}` ended with {done.returncode} instead of {code}\n{done.stdout}")
    return done.stdout


class Job:
    """A run in the background, whose processes can be found and hurt."""

    def __init__(self, arguments, directory, ranks):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command(arguments, ranks), cwd=directory, env=environment(), stdout=self.log,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def ranks(self):
        """Process numbers of the ranks, by rank."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "exe") != os.path.realpath(BALEEN):
                    continue
                variables = (entry / "environ").read_bytes().split(b"\0")
                parent = self._ancestors(int(entry.name))
            except OSError:
                continue
            if self.process.pid not in parent:
                continue
            for variable in variables:
                if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(variable.split(b"=")[1])] = int(entry.name)
        return found

    @staticmethod
    def _ancestors(pid):
        result = []
        while pid > 1:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            pid = int(stat.rsplit(")", 1)[1].split()[1])
            result.append(pid)
        return result

    def wait(self, timeout):
        """Exit code; a job that does not end in time is killed and fails the test."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise Failure(f"the job did not end within {timeout} s\n{self.output()}") from None

    def kill_all(self):
        for pid in [*self.ranks().values(), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


def no_process_left(job_ranks, seconds=20):
    """Every rank must be gone shortly after its job."""
    deadline = time.monotonic() + seconds
    left = list(job_ranks)
    while left and time.monotonic() < deadline:
        left = [pid for pid in left if os.path.exists(f"/proc/{pid}/exe") and is_ours(pid)]
        time.sleep(0.1)
    expect(not left, f"processes {left} outlived their job")


def is_ours(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe") == os.path.realpath(BALEEN)
    except OSError:
        return False


def result_digests(run):
    """Digests of what a run is for: out-of-fold predictions and final weights."""
    files = [run / "oof.h5", *sorted(run.glob("chains/*/weights.safetensors"))]
    expect(len(files) > 1, f"{run} holds no results")
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def expect_same_results(run, reference, what):
    here = result_digests(run)
    expect(here.keys() == reference.keys(), f"{what}: files {sorted(here)} instead of {sorted(reference)}")
    different = [name for name in reference if here[name] != reference[name]]
    expect(not different, f"{what}: other bytes in {different}")


def journal(run):
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines() if line]


def main(test):
    """Runs test(directory) in a fresh directory and turns a failure into exit code 1 with its message."""
    with tempfile.TemporaryDirectory(prefix="baleen-e2e-") as name:
        try:
            test(pathlib.Path(name))
        except Failure as failure:
            print(f"FAILED: {failure}", file=sys.stderr)
            sys.exit(1)
    print("passed")
