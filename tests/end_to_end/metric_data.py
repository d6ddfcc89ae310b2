"""Individuals to be told apart, recipes that are refused, and ways to hurt a run: what the tests of metric learning and
siamese networks share."""

import json
import os
import signal

import numpy as np

from harness import call, change, expect, write_idx


def make_individuals(directory, name="data", per_id=6, ids=24, seed=1, counts=None):
    """Individuals of four kinds: a coarse pattern of the kind, a fine one of the individual, and noise. `counts`: images of
    each, instead of per_id of every one."""
    rng = np.random.default_rng(seed)
    kinds = np.kron(rng.integers(0, 2, (4, 2, 2)), np.ones((8, 8), int))
    counts = counts or [per_id] * ids
    own = np.kron(rng.integers(0, 2, (len(counts), 4, 4)), np.ones((4, 4), int))
    labels = np.repeat(np.arange(len(counts)), counts)
    images = [60 * kinds[i % 4] + 110 * own[i] + rng.integers(0, 80, (16, 16)) for i in labels]
    write_idx(directory / f"{name}-images", np.array(images))
    write_idx(directory / f"{name}-labels", labels)
    description = directory / f"{name}.yaml"
    description.write_text(f"output: {name}\nsource: idx\nimages: {name}-images\nlabels_file: {name}-labels\nchannels: 1\n"
                           "enlarge: bilinear\n")
    call(["pack", description], directory)


def hurt(job, victims, how):
    targets = {"one rank": victims[:1], "all ranks": victims, "mpirun": [job.process.pid]}[how]
    for pid in targets:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def output(job):
    """What a job has printed so far."""
    job.log.flush()
    return os.pread(job.log.fileno(), 1 << 22, 0).decode(errors="replace")


class Refusals:
    """refused(code, "word", ..., key__below=value): `baleen plan` ends with the code and a message with the words, when the
    recipe that write_recipe() writes is changed so."""

    def __init__(self, directory, write_recipe):
        self.directory = directory
        self.write_recipe = write_recipe

    def __call__(self, code, *words, **changes):
        file = self.write_recipe()
        content = json.loads(file.read_text())
        change(content, changes)
        file.write_text(json.dumps(content))
        message = call(["plan", file], self.directory, code=code)
        for word in words:
            expect(word in message, f"{changes}: no '{word}' in\n{message}")
