"""What recipes add to plain training: snapshots, teachers, pseudo-labels, corrected labels, weighted sampling, unknown
classes, mirror images as classes. Real pictures (Fashion-MNIST) where Debian's package is, drawn ones otherwise.

Usage: on_top.py rounds | snapshots | sampling | refused | guide
"""

import csv
import gzip
import json
import os
import pathlib
import random
import signal
import sys
import time

import h5py
import numpy as np

from harness import (Job, call, change, expect, expect_same_results, main, make_dataset, no_process_left, result_digests, shell,
                     write_idx)
from guides import blocks

PICTURES = pathlib.Path("/usr/share/datasets/fashion-mnist")
CLASSES = 3


def read_idx(name):
    data = gzip.decompress((PICTURES / f"{name}-ubyte.gz").read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def make_data(directory):
    """Packs `data` (240 labelled pictures of three classes), `new` (120 without labels), `test` (90)."""
    if not PICTURES.is_dir():
        for name, samples, seed in (("data", 240, 0), ("new", 120, 1), ("test", 90, 2)):
            make_dataset(directory, name, samples=samples, classes=4, seed=seed)
        return
    images, labels = read_idx("train-images-idx3"), read_idx("train-labels-idx1")
    chosen = np.isin(labels, (2, 4, 6))  # pullover, coat, shirt: alike
    images, labels = images[chosen], np.searchsorted((2, 4, 6), labels[chosen])
    for name, first, count in (("data", 0, 240), ("new", 240, 120), ("test", 360, 90)):
        write_idx(directory / f"{name}-images", images[first : first + count])
        write_idx(directory / f"{name}-labels", labels[first : first + count])
        (directory / f"{name}.yaml").write_text(
            f"output: {name}\nsource: idx\nimages: {name}-images\nchannels: 1\nshard_samples: 100\n"
            f"labels_file: {name}-labels\nlabels: [pullover, coat, shirt coat]\n")
        call(["pack", directory / f"{name}.yaml"], directory)


def recipe(directory, name, **more):
    content = {
        "name": name, "run_dir": name, "dataset": "data", "test": "test", "folds": {"count": 2},
        "backbones": [{"name": "conv4", "dropout": 0.1}],
        "stages": [{"size_px": 16, "epochs": 3, "batch": 24, "optimizer": {"kind": "adamw", "lr": 0.003},
                    "augment": {"flip_horizontal": True}}],
        "loss": {"kind": "cross_entropy"}, "images": {"normalise": {"kind": "dataset"}},
        "training": {"logical_shards": 2, "checkpoint_every_steps": 10}, "prediction": {"chunk": 16},
    }
    change(content, more)
    file = directory / f"{name}.recipe.yaml"
    file.write_text(json.dumps(content))
    return file


def killed_and_resumed(directory, file, name, reference, ranks=(2, 1, 2)):
    """The same run, killed at random instants and resumed on other numbers of ranks."""
    kills = 0
    for number in ranks:
        job = Job(["run", file, "--run-dir", name], directory, number)
        deadline = time.monotonic() + random.uniform(1.0, 2.5)
        while time.monotonic() < deadline and job.process.poll() is None:
            time.sleep(0.02)
        victims = list(job.ranks().values())
        if job.process.poll() is not None or not victims:
            job.wait(60)
            break
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        job.wait(60)
        no_process_left(victims)
        kills += 1
    call(["run", file, "--run-dir", name], directory, ranks=2)
    expect_same_results(directory / name, result_digests(reference), f"{name}: after {kills} kills")
    return kills


def rows_of(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


def train_rows(directory, name):
    return [chain["train_rows"] for chain in json.loads((directory / name / "plan.json").read_text())["chains"]]


def check_rounds(directory):
    """Two rounds: a first run teaches a second, by its probabilities and by what it makes of unlabelled pictures."""
    random.seed(3)
    call(["run", recipe(directory, "first")], directory, ranks=2)
    for ranks, out in ((1, "round-on-1"), (2, "round")):
        text = call(["relabel", "first", "--unlabelled", "new", "--threshold", "0.5", "--out", out], directory, ranks=ranks)
        expect("images are certain enough" in text, text)
    for file in ("review.csv", "corrections.csv", "teacher.h5"):
        expect((directory / "round" / file).read_bytes() == (directory / "round-on-1" / file).read_bytes(),
               f"{file} depends on the number of ranks")
    review = rows_of(directory / "round/review.csv")
    confidence = [float(row["confidence"]) for row in review]
    expect(len(review) == 120 and confidence == sorted(confidence), "the review is not sorted by doubt")
    expect(all((row["accepted"] == "yes") == (float(row["confidence"]) >= 0.5) for row in review), "wrong acceptance")
    accepted = sum(row["accepted"] == "yes" for row in review)
    with h5py.File(directory / "round/teacher.h5") as table:
        ids, rows = [i.decode() for i in table["ids"][:]], table["predictions"][:]
    expect(len(ids) == 120 and np.allclose(rows.sum(1), 1, atol=1e-5), "teacher.h5 holds no probabilities")
    certain = dict(zip(ids, rows.max(1)))
    expect(all(abs(certain[row["id"]] - float(row["confidence"])) < 1e-6 for row in review), "other confidences than teacher.h5")

    # A person corrects two labels.
    doubted = rows_of(directory / "round/corrections.csv")
    expect(len(doubted) > 2 and all(row["accepted"] == "no" and row["labels"] != row["given"] for row in doubted),
           "corrections propose nothing")
    with open(directory / "corrected.csv", "w", newline="") as out:
        table = csv.DictWriter(out, doubted[0].keys())
        table.writeheader()
        table.writerows({**row, "accepted": "yes" if i < 2 else "no"} for i, row in enumerate(doubted))

    second = recipe(directory, "second", extra=[{"dataset": "new", "labels": "round/review.csv"}], corrections="corrected.csv",
                    distillation={"teachers": ["first", "round/teacher.h5"], "weight": 0.4, "temperature": 2.0})
    call(["run", second], directory, ranks=1)
    plain, extra = train_rows(directory, "first"), train_rows(directory, "second")
    expect([b - a for a, b in zip(plain, extra)] == [accepted] * 2, f"{accepted} accepted, rows {plain} -> {extra}")
    with h5py.File(directory / "second/oof.h5") as oof:
        expect(oof["ids"].shape[0] == 240, "extra pictures are among the out-of-fold predictions")
    kills = killed_and_resumed(directory, second, "killed", directory / "second")
    call(["verify", "second"], directory)
    call(["report", "second"], directory)
    print(f"rounds: {accepted} of 120 accepted, {kills} kills")

    # Whatever a student learns from is part of what it is.
    call(["plan", second], directory)
    lines = (directory / "corrected.csv").read_text().splitlines()
    (directory / "corrected.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    message = call(["run", second], directory, code=None)
    expect("data.training" in message, f"another list of corrections was not noticed\n{message}")


def check_snapshots(directory):
    """Cycles that end within epochs, columns, and the mean of what each predicts."""
    random.seed(4)
    stages = [{"size_px": 16, "epochs": 4, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.05},
               "schedule": {"kind": "cosine", "cycles": 3}, "ema": {"enabled": True, "decay": 0.5}},
              {"size_px": 20, "epochs": 2, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02},
               "schedule": {"kind": "cosine", "cycles": 2}}]
    file = recipe(directory, "snapshots", stages=stages, snapshots={"last": 4, "columns": True})
    call(["run", file], directory, ranks=1)
    run = directory / "snapshots"
    chains = sorted((run / "chains").iterdir())
    for chain in chains:
        kept = sorted(file.name for file in chain.glob("snapshot-*.safetensors"))
        expect(kept == [f"snapshot-{i}.safetensors" for i in (1, 2, 3)], f"{chain.name} keeps {kept}")
    with h5py.File(run / "oof.h5") as oof:
        models = [name.decode() for name in oof["models"][:]]
        values = oof["oof"][:].astype(np.float64)
    expect(models == ["conv4"] + [f"conv4-snapshot{i}" for i in (1, 2, 3)], f"models {models}")
    # What is left of the mean is the final weights' part: probabilities, too, and none of the others.
    final = 4 * values[0] - values[1:].sum(0)
    expect(final.min() > -1e-5 and np.allclose(final.sum(1), 1, atol=1e-4), "the model is not the mean of its snapshots")
    expect(all(np.abs(values[i] - values[j]).max() > 1e-3 for i in range(4) for j in range(i)), "two snapshots are the same")
    kills = killed_and_resumed(directory, file, "killed", run, ranks=(1, 2, 1))
    for chain in chains:
        for kept in chain.glob("snapshot-*.safetensors"):
            again = directory / "killed/chains" / chain.name / kept.name
            expect(again.read_bytes() == kept.read_bytes(), f"{again}: other bytes")
    call(["relabel", "snapshots", "--unlabelled", "new", "--out", "by-snapshots"], directory, ranks=2)
    call(["verify", "snapshots"], directory)

    by_stage = recipe(directory, "stages", stages=stages, snapshots={"last": 2, "at": "stages"})
    call(["run", by_stage], directory, ranks=2)
    plain = recipe(directory, "plain", stages=stages)
    call(["run", plain], directory, ranks=2)
    for chain in sorted((directory / "plain/chains").iterdir()):
        same = directory / "stages/chains" / chain.name / "weights.safetensors"
        expect(same.read_bytes() == (chain / "weights.safetensors").read_bytes(), "snapshots change the training")
    print(f"snapshots: {kills} kills")


def check_sampling(directory):
    """Weighted draws, an unknown class that is dropped or soft, mirror images as classes: the same bytes on 1 and 2 ranks."""
    manifest = json.loads((directory / "data/manifest.json").read_text())
    rare = manifest["labels"][-1]
    count = manifest["label_counts"][-1]
    cases = {
        "weighted": {"training__sampling": {"kind": "weighted", "class_weights": {rare: 0.0}, "samples": 96}},
        "balanced": {"training__sampling": {"kind": "balanced", "replacement": False, "samples": 72}},
        "dropped": {"task": {"unknown": rare, "unknown_as": "drop"}},
        "uniform": {"task": {"unknown": rare, "unknown_as": "uniform"}},
        # What the finished run of "uniform" makes of them, without their own class.
        "taught": {"task": {"unknown": rare, "unknown_as": "teacher"}, "distillation": {"teachers": ["uniform"], "weight": 0.2}},
        "flips": {"task": {"flip_as_class": True}},
        "calibrated": {"stacking": {"calibration": "log_loss"}},
    }
    for name, changes in cases.items():
        file = recipe(directory, name, **changes)
        call(["run", file], directory, ranks=1)
        call(["run", file, "--run-dir", f"{name}-on-2"], directory, ranks=2)
        expect_same_results(directory / f"{name}-on-2", result_digests(directory / name), f"{name} on 2 ranks")
        with h5py.File(directory / name / "oof.h5") as oof:
            values = oof["oof"][0]
        expect(values.shape == (240, len(manifest["labels"])) and np.allclose(values.sum(1), 1, atol=1e-5),
               f"{name}: predictions of shape {values.shape}")
        if name in ("weighted", "dropped", "uniform", "taught"):
            expect(values[:, -1].mean() < 0.25, f"{name}: {rare} is predicted with {values[:, -1].mean():.3f} though never taught")
    steps = [stage["steps_per_epoch"] for stage in json.loads((directory / "weighted/plan.json").read_text())["chains"][0]["stages"]]
    expect(steps == [4], f"96 samples in batches of 24 are {steps} steps")
    expect(sum(train_rows(directory, "dropped")) == 240 - count, "other rows are dropped than those of the unknown class")
    expect(sum(train_rows(directory, "taught")) == 240, "the teacher's pictures of nobody known are not learnt from")
    expect((directory / "taught/oof.h5").read_bytes() != (directory / "uniform/oof.h5").read_bytes(), "the teacher teaches nothing")
    temperatures = (directory / "calibrated/stack/temperatures.txt").read_text()
    expect("conv4: temperature" in temperatures, temperatures)
    call(["report", "calibrated"], directory)
    with h5py.File(directory / "flips/oof.h5") as oof:
        truth = oof["targets"][:]
        expect((oof["oof"][0].argmax(1) == truth).mean() > 0.4, "mirror images as classes learn nothing")


def check_refused(directory):
    def refused(code, *words, command="plan", **changes):
        message = call([command, recipe(directory, "bad", **changes)], directory, code=code)
        for word in words:
            expect(word in message, f"{changes}: no '{word}' in\n{message}")

    call(["run", recipe(directory, "first", stages__0__epochs=1)], directory, ranks=2)
    call(["relabel", "first", "--unlabelled", "new", "--threshold", "0", "--out", "round"], directory)
    names = json.loads((directory / "data/manifest.json").read_text())["labels"]
    ids = h5py.File(directory / "first/oof.h5")["ids"][:]
    one = ids[0].decode()

    refused(4, "is in the training data, too", extra=[{"dataset": "data"}])
    (directory / "list.csv").write_text(f"id,labels\n{one},{names[0]}\n")
    refused(4, "list.csv:2", one, extra=[{"dataset": "new", "labels": "list.csv"}])
    (directory / "list.csv").write_text(f"id,labels\n{one},{names[0]}x\n")
    refused(4, "list.csv:2", names[0], corrections="list.csv")
    (directory / "list.csv").write_text("id,labels,accepted\n")
    refused(4, "accepts no row", extra=[{"dataset": "new", "labels": "list.csv"}])

    # Teachers: only what is out of fold teaches training images.
    with h5py.File(directory / "first/oof.h5") as oof:
        rows, folds = oof["oof"][0], oof["folds"][:]

    def table(sums=1.0, with_folds=None):
        lines = ["id," + ("fold," if with_folds is not None else "") + ",".join(names)]
        for i, name in enumerate(ids):
            fold = [str(with_folds[i])] if with_folds is not None else []
            lines.append(",".join([name.decode(), *fold, *(f"{v * sums:.9f}" for v in rows[i])]))
        (directory / "teacher.csv").write_text("\n".join(lines) + "\n")

    teach = {"distillation": {"teachers": ["teacher.csv"]}}
    table()
    refused(4, "nothing says", "teacher.csv", "fold", **teach)
    call(["plan", recipe(directory, "bad", distillation={"teachers": ["teacher.csv"], "allow_seen": True})], directory)
    table(with_folds=folds)
    call(["plan", recipe(directory, "bad", **teach)], directory)
    table(with_folds=1 - folds)
    refused(4, f"held '{one}' out with fold {1 - folds[0]}", f"in fold {folds[0]}", **teach)
    table(sums=0.9, with_folds=folds)
    refused(4, one, "add up to 0.9", **teach)
    refused(4, "no teacher has an answer", distillation={"teachers": ["round/teacher.h5"], "allow_seen": True})
    refused(3, "at least one", distillation={"teachers": []})

    refused(3, "cosine", snapshots={"last": 3})
    refused(3, "one stage", snapshots={"last": 3, "at": "stages"})
    refused(3, "there is no class", names[0], task={"unknown": names[0] + "x", "unknown_as": "drop"})
    refused(3, "teacher needs", task={"unknown": names[0], "unknown_as": "teacher"})
    refused(3, "no image would be mirrored", task={"flip_as_class": True}, stages__0__augment={})
    refused(3, "there is no class", training__sampling={"kind": "weighted", "class_weights": {names[0] + "x": 1}})
    refused(3, "without replacement", training__sampling={"kind": "balanced", "replacement": False, "samples": 100000})
    refused(3, "weighted needs", training__sampling={"kind": "weighted"})
    refused(3, "map_at_5", stacking={"calibration": "map_at_5"})
    call(["relabel", "nowhere"], directory, code=4)
    call(["relabel", "first", "--label-threshold", f"{names[0]}x=0.5", "--unlabelled", "new"], directory, code=3)


def check_guide(directory):
    """Every command of docs/training-on-top.md, with fewer pictures and epochs."""
    if not PICTURES.is_dir():
        print(f"SKIPPED: there is no {PICTURES}")
        sys.exit(77)
    smaller = (("limit_total: 6000", "limit_total: 600"), ("limit_total: 2000", "limit_total: 50"), ("epochs: 24", "epochs: 3"),
               ("hold_out: 0.9", "hold_out: 0.6"), ("size_px: 28", "size_px: 16"))
    commands = 0
    for block in blocks("training-on-top.md"):
        if block.language == "yaml" and block.file_name():
            text = block.text
            for old, new in smaller:
                text = text.replace(old, new)
            (directory / block.file_name()).write_text(text)
        if block.language == "sh":
            for line in block.commands():
                line = line.replace("--threshold 0.95", "--threshold 0.3")
                shell(line.replace("mpirun -n 2", "mpirun -n 2 --oversubscribe --bind-to none"), directory)
                commands += 1
    expect(commands >= 8, f"only {commands} commands were found")
    for name in ("second", "distilled", "snapshots"):
        expect((directory / "runs" / name / "report.html").exists(), f"runs/{name} is missing")


def test(directory):
    case = sys.argv[1]
    if case != "guide":
        make_data(directory)
    {"rounds": check_rounds, "snapshots": check_snapshots, "sampling": check_sampling, "refused": check_refused,
     "guide": check_guide}[case](directory)


main(test)
