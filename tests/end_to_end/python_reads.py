"""Everything that a run writes, opened from Python: h5py, pandas, safetensors and TensorBoard's reader find the numbers that Baleen
prints, and the files agree with each other.
"""

import json
import os
import re
import shutil
import signal
import time

import h5py
import numpy as np
import pandas as pd
import torchvision
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness import DEEP_NETWORKS, Job, call, expect, journal, main, make_dataset, no_process_left, write_recipe

LR = "stages.0.optimizer.lr"


def text(values):
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def near(a, b, tolerance, what):
    worst = float(np.max(np.abs(np.asarray(a, float) - np.asarray(b, float))))
    expect(worst <= tolerance, f"{what}: differs by {worst}")


def crc32c(data):
    """Castagnoli's CRC, bit by bit: slow, and nobody else's code."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def check_journal(run):
    for number, line in enumerate((run / "journal.jsonl").read_text().splitlines()):
        record = json.loads(line)
        body, _ = line.rsplit(',"crc"', 1)
        expect(record["seq"] == number, f"{run}: record {number} says it is {record['seq']}")
        expect(crc32c(body.encode()) == int(record["crc"], 16), f"{run}: checksum of {line}")


def stopped_in_the_middle(directory, recipe):
    """Stops the run at its first checkpoint and reads that: tensors and the rest fit each other and the network."""
    job = Job(["run", recipe], directory, 1)
    deadline = time.monotonic() + 120
    while not list((directory / "run").glob("chains/*/checkpoint-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    ranks = list(job.ranks().values())
    for pid in ranks:
        os.kill(pid, signal.SIGTERM)
    expect(job.wait(60) == 75, job.output())
    no_process_left(ranks)
    files = sorted((directory / "run").glob("chains/*/checkpoint-*.json"))
    expect(files, "no checkpoint")
    for file in files:
        record = json.loads(file.read_text())
        stage, epoch = map(int, re.search(r"-s(\d+)-e(\d+)-", file.name).groups())
        state = record["state"]
        expect((state["stage"], state["epoch"]) == (stage, epoch), f"{file.name}: {state}")
        tensors = load_file(file.parent / record["tensors"])
        kinds = {name.split(".")[0] for name in tensors}
        expect({"model", "optimizer"} <= kinds, f"{file.name} holds {kinds}")
        expect(all(np.isfinite(value).all() for value in tensors.values() if value.dtype.kind == "f"), f"{file.name}: not finite")
    shutil.copytree(files[-1].parent, directory / "stopped")
    return files[-1].parent.name


def check_predictions(run, printed):
    """oof.h5, oof.csv, test.csv, each chain's tables, and the scores that were printed."""
    with h5py.File(run / "oof.h5") as h5:
        ids, labels, models = text(h5["ids"][:]), text(h5["labels"][:]), text(h5["models"][:])
        folds, truth, oof = h5["folds"][:], h5["targets"][:], h5["oof"][:]
        test_ids, test_truth, test, by_fold = text(h5["test_ids"][:]), h5["test_targets"][:], h5["test"][:], h5["test_folds"][:]
    near(oof.sum(2), 1, 1e-5, "probabilities of a sample")
    near(test, by_fold.mean(1), 1e-6, "mean of the folds' test predictions")
    for name, names, table, answers in (("oof.csv", ids, oof, truth), ("test.csv", test_ids, test, test_truth)):
        csv = pd.read_csv(run / name)
        expect(list(csv["id"].astype(str)) == names, f"{name}: other ids")
        for m, model in enumerate(models):
            near(csv[[f"{model}:{label}" for label in labels]].to_numpy(np.float32), table[m], 0, f"{name}, {model}")
        if name == "oof.csv":
            near(csv["fold"], folds, 0, "folds in oof.csv")
    for m, model in enumerate(models):
        for fold in np.unique(folds):
            chain = run / "chains" / f"{model}-f{fold}-s1"
            with h5py.File(chain / "oof.h5") as h5:
                rows = {name: values for name, values in zip(text(h5["ids"][:]), h5["predictions"][:])}
            expect(set(rows) == {i for i, f in zip(ids, folds) if f == fold}, f"{chain.name} predicted other samples")
            near([rows[i] for i in np.array(ids)[folds == fold]], oof[m][folds == fold], 0, f"{chain.name}/oof.h5")
            with h5py.File(chain / "test.h5") as h5:
                rows = {name: values for name, values in zip(text(h5["ids"][:]), h5["predictions"][:])}
            near([rows[i] for i in test_ids], by_fold[m, fold], 0, f"{chain.name}/test.h5")

    # The table on the terminal: accuracies by fold, over all, on the test set.
    shown = {}
    for line in printed.splitlines():
        if found := re.match(r"(\S.*?)((?:\s{2,}\d\.\d{4})+)$", line):
            shown[found[1]] = [float(value) for value in found[2].split()]
    stacked = pd.read_csv(run / "stack/oof.csv", float_precision="round_trip")
    stacked_test = pd.read_csv(run / "stack/test.csv", float_precision="round_trip")
    candidates = {model: (oof[m], test[m]) for m, model in enumerate(models)}
    candidates["mean of models"] = oof.mean(0), test.mean(0)
    candidates["stack"] = stacked[labels].to_numpy(), stacked_test[labels].to_numpy()
    scores = {c["name"]: c for c in json.loads((run / "stack/scores.json").read_text())["candidates"]}
    expect(set(candidates) == set(shown) == set(scores), f"printed: {set(shown)}; scores.json: {set(scores)}")
    for name, (held_out, unseen) in candidates.items():
        right = held_out.argmax(1) == truth
        ours = [*(right[folds == k].mean() for k in np.unique(folds)), right.mean(), (unseen.argmax(1) == test_truth).mean()]
        near(shown[name], ours, 5.1e-5, f"{name}, printed")
        theirs = [*scores[name]["score_by_fold"], scores[name]["oof_score"], scores[name]["test_score"]]
        near(theirs, ours, 1e-12, f"{name}, scores.json")
    check_stack(run, labels, models, folds, oof, stacked[labels].to_numpy())


def check_stack(run, labels, models, folds, oof, stacked):
    """stack.json holds the coefficients: with them and oof.h5, numpy gets stack/oof.csv."""
    document = json.loads((run / "stack/stack.json").read_text())
    for fold, fit in enumerate(document["without_fold"]):
        held = folds == fold
        corrected = []
        for m, model in enumerate(models):
            level = fit["level1"][model]
            corrected.append(oof[m][held].astype(float) @ np.array(level["weights"]) + np.array(level["intercepts"]))
        for column, label in enumerate(labels):
            level = fit["level2"][label]
            ours = np.einsum("m,mn->n", np.array(level["weights"]), np.array(corrected)[:, :, column]) + level["intercept"]
            near(stacked[held, column], ours, 1e-12 * max(1, np.abs(ours).max()), f"stack without fold {fold}, {label}")


def check_weights(run, directory, stopped):
    """Final weights load into torchvision's network, by name; a checkpoint's have the same names and shapes."""
    ours = load_tensors(run / "chains/resnet18-f0-s1/weights.safetensors")
    network = torchvision.models.resnet18(num_classes=4)
    network.conv1 = type(network.conv1)(1, 64, 7, 2, 3, bias=False)
    network.load_state_dict(ours, strict=True)
    shown = call(["inspect", run / "chains/resnet18-f0-s1/weights.safetensors"], directory)
    size = sum(tensor.numel() * tensor.element_size() for tensor in ours.values()) / 2**20
    expect(f": {len(ours)} tensors, {size:.1f} MiB" in shown, f"{len(ours)} tensors, {size:.1f} MiB are not what was printed:\n{shown}")
    final = load_file(run / f"chains/{stopped}/weights.safetensors")
    for file in (directory / "stopped").glob("checkpoint-*.safetensors"):
        with safe_open(file, "numpy") as tensors:
            names = {name.removeprefix("model."): name for name in tensors.keys() if name.startswith("model.")}
            expect(set(final) <= set(names), f"{file.name} lacks {set(final) - set(names)}")
            shapes = {name: tuple(tensors.get_slice(names[name]).get_shape()) for name in final}
        expect(shapes == {name: value.shape for name, value in final.items()}, f"{file.name}: other shapes")


def check_metrics(run):
    """metrics.csv, metrics.jsonl and TensorBoard's files tell the same of every epoch."""
    lines = pd.read_json(run / "metrics.jsonl", lines=True, precise_float=True)
    table = pd.read_csv(run / "metrics.csv", float_precision="round_trip")
    expect(len(lines) == len(table) == 12, f"{len(lines)} and {len(table)} epochs instead of 4 chains x 3")
    for column in ("fold", "stage", "size_px", "epoch", "step", "lr", "train_loss", "samples_per_s", "seconds"):
        near(table[column], lines[column], 0, f"metrics.csv, {column}")
    values = {key: np.array([line[key] for line in lines["val"]]) for key in ("loss", "accuracy")}
    for key, column in values.items():
        near(table[f"val_{key}"], column, 0, f"metrics.csv, {key}")
    for chain, rows in lines.groupby("chain"):
        reader = EventAccumulator(str(run / "tb" / chain), size_guidance={"scalars": 0})
        reader.Reload()
        for tag, column in (("train/loss", rows["train_loss"]), ("train/lr", rows["lr"]),
                            *((f"val/{key}", values[key][rows.index]) for key in values)):
            points = reader.Scalars(tag)
            expect([point.step for point in points] == list(rows["step"]), f"{chain}, {tag}: other steps")
            near([point.value for point in points], np.float32(column), 0, f"{chain}, {tag}")


def check_sweep(directory):
    """trials.csv is the table that was printed, and what the trials' own runs and the journal say."""
    recipe = json.loads((directory / "recipe.yaml").read_text())
    recipe.update(name="sweep", backbones=[{"name": "simplenet_cifar"}], sweep={"method": "grid", "space": {LR: [0.003, 0.05]}})
    recipe["stages"] = recipe["stages"][:1]
    del recipe["run_dir"]
    (directory / "sweep.yaml").write_text(json.dumps(recipe))
    printed = call(["run", "sweep.yaml"], directory, ranks=2)
    run = directory / "runs/sweep"
    table = pd.read_csv(run / "trials.csv", dtype={"trial": str})
    expect(list(table["phase"]) == ["finished"] * 2 and list(table[LR]) == [0.003, 0.05], f"{table}")
    finished = {record["trial"]: record["metrics"] for record in journal(run) if record["type"] == "trial_finished"}
    for row in table.to_dict("records"):
        trial = run / "trials" / row["trial"]
        with h5py.File(trial / "oof.h5") as h5:
            right, folds = h5["oof"][0].argmax(1) == h5["targets"][:], h5["folds"][:]
        by_fold = [right[folds == fold].mean() for fold in (0, 1)]
        near([row["fold_0"], row["fold_1"], row["accuracy"]], [*by_fold, np.mean(by_fold)], 1e-6, f"trial {row['trial']}")
        scores = {c["name"]: c["oof_score"] for c in json.loads((trial / "stack/scores.json").read_text())["candidates"]}
        near([row["oof"], row["stack"]], [right.mean(), scores["stack"]], 1e-9, f"trial {row['trial']}")
        journalled = next(metrics for name, metrics in finished.items() if int(name) == int(row["trial"]))
        near([row["oof"], row["stack"]], [journalled["oof"], journalled["stack"]], 1e-9, f"trial {row['trial']}, journal")
        expect(f"{row['accuracy']:.4f}" in printed, f"{row['accuracy']:.4f} was not printed:\n{printed}")
    check_journal(run)


def test(directory):
    make_dataset(directory)
    make_dataset(directory, "test", samples=60, seed=1)
    recipe = write_recipe(directory, **DEEP_NETWORKS)
    stopped = stopped_in_the_middle(directory, recipe)
    printed = call(["run", recipe], directory, ranks=2)
    run = directory / "run"
    check_journal(run)
    check_predictions(run, printed)
    check_weights(run, directory, stopped)
    check_metrics(run)
    check_sweep(directory)


if __name__ == "__main__":
    main(test)
