"""`baleen run` learns embeddings: unseen individuals are told apart, divide and conquer with one learner is plain metric
learning to the bit, and a run that is killed, also while it clusters, ends with the same bytes on any number of ranks.
"""

import copy
import json
import random
import sys
import time

import h5py
import numpy as np

from harness import Job, call, expect, expect_same_results, main, no_process_left, result_digests
from metric_data import Refusals, hurt, make_individuals, output

IDS = 24


def recipe(directory, name, run_dir=None, batch=16, epochs=(5, 3), **metric):
    content = {
        "name": name, "run_dir": run_dir or name, "dataset": "data", "folds": {"count": 2},
        "task": {"kind": "metric"},
        "metric": {"embedding": 16, "images_per_id": 4, "split": "disjoint", **metric},
        "backbones": [{"name": "conv4", "dropout": 0.1}],
        "stages": [
            {"size_px": 16, "epochs": epochs[0], "batch": batch, "optimizer": {"kind": "adamw", "lr": 0.003}},
            {"size_px": 20, "epochs": epochs[1], "batch": batch, "optimizer": {"kind": "adamw", "lr": 0.001},
             "augment": {"affine": {"shift": 0.05}}},
        ],
        "training": {"logical_shards": 4, "checkpoint_every_steps": 3},
        "prediction": {"chunk": 16},
    }
    file = directory / f"{name}.yaml"
    file.write_text(json.dumps(content))
    return file


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["chain"], line["epoch"], line["train_loss"]) for line in lines]


def check_learning(directory):
    file = recipe(directory, "plain")
    text = call(["run", file], directory, ranks=1)
    scores = json.loads((directory / "plain/stack/scores.json").read_text())["candidates"][0]
    expect("recall@1" in text and scores["recall_at_1"] > 0.5, f"individuals are not told apart: {scores}\n{text}")
    expect("NMI" in text and 0.5 < scores["mutual_information"] <= 1, f"clusters are not the individuals: {scores}\n{text}")
    recalls = [scores[f"recall_at_{k}"] for k in (1, 2, 4, 8)]
    expect(recalls == sorted(recalls) and recalls[3] <= 1, f"the recalls are {recalls}")
    last = [json.loads(line)["val"] for line in (directory / "plain/metrics.jsonl").read_text().splitlines()][-1]
    expect(last["recall_at_1"] <= last["recall_at_8"], f"metrics of an epoch are {last}")
    with h5py.File(directory / "plain/oof.h5") as oof:
        rows = np.asarray(oof["oof"])[0]
    expect(rows.shape == (6 * IDS, 16), f"embeddings of shape {rows.shape}")
    expect(np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5), "the embeddings are not of unit length")
    call(["verify", "plain"], directory)
    call(["run", file, "--run-dir", "plain-on-2"], directory, ranks=2)
    expect_same_results(directory / "plain-on-2", result_digests(directory / "plain"), "2 ranks")


def check_looks(directory):
    """Means of several looks are of unit length, and `baleen match` looks at images as the run did."""
    file = recipe(directory, "looks")
    content = json.loads(file.read_text())
    content["stages"] = [{**content["stages"][0], "epochs": 2}]
    content["prediction"].update(tta=["identity", "flip_horizontal"], tta_sizes_px=[16, 20], tta_random_passes=1,
                                 tta_augment={"affine": {"shift": 0.1}, "noise": 0.05})
    file.write_text(json.dumps(content))
    call(["run", file], directory, ranks=2)
    with h5py.File(directory / "looks/oof.h5") as oof:
        ids, folds, rows = [i.decode() for i in oof["ids"][:]], np.asarray(oof["folds"]), np.asarray(oof["oof"])[0]
    expect(np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5), "means of looks are not of unit length")
    call(["match", "--weights", "looks/chains/conv4-f0-s1/weights.safetensors", "--gallery", "data", "--queries", "data",
          "--keep-features", "kept"], directory)
    with h5py.File(directory / "kept/gallery-1.h5") as table:
        found = dict(zip([i.decode() for i in table["ids"][:]], np.asarray(table["predictions"])))
    held_out = [k for k, fold in enumerate(folds) if fold == 0]
    worst = max(np.abs(found[ids[k]] - rows[k]).max() for k in held_out)
    expect(worst < 1e-4, f"match sees other features than the run: off by {worst}")


def check_one_learner(directory):
    """The same loss curve and the same weights."""
    for step in ("per_learner", "accumulate", "learner_parallel"):
        name = f"one-{step}"
        call(["run", recipe(directory, name, divide={"learners": 1, "every_epochs": 1, "step": step})], directory, ranks=2)
        expect(losses(directory / name) == losses(directory / "plain"), f"{name}: another loss curve than plain")
        for weights in sorted((directory / "plain/chains").glob("*/weights.safetensors")):
            same = directory / name / weights.relative_to(directory / "plain")
            expect(same.read_bytes() == weights.read_bytes(), f"{name}: other weights in {same}")


def check_several_learners(directory):
    """Steps that train several learners: the same bytes on any number of ranks, losses fall, and what is learnt tells apart."""
    for step in ("accumulate", "learner_parallel"):
        name = f"three-{step}"
        # 32 = eight individuals with four images each: two for each of the four shards, two or more for each learner.
        divide = {"learners": 3, "every_epochs": 5, "full_from": 10, "joint_from": 12, "step": step}
        # The mean over all triplets: the margin loss is one over what is still wrong, and hardly falls.
        file = recipe(directory, name, batch=32, epochs=(12, 2), divide=divide, losses=[{"kind": "soft_triplet", "miner": "all"}])
        text = call(["run", file], directory, ranks=1)
        expect("clusters of" in text, f"{name}: nothing was clustered\n{text}")
        call(["run", file, "--run-dir", f"{name}-on-2"], directory, ranks=2)
        expect_same_results(directory / f"{name}-on-2", result_digests(directory / name), f"{name} on 2 ranks")
        by_chain = {}
        for chain, epoch, loss in losses(directory / name):
            by_chain.setdefault(chain, {})[epoch] = loss
        for chain, curve in by_chain.items():
            expect(sorted(curve) == list(range(1, 15)), f"{name}: {chain} has the epochs {sorted(curve)}")
            # Within the phase of slices: the later ones minimise another loss.
            first, last = curve[1] + curve[2], curve[9] + curve[10]
            print(f"{name}: {chain}: loss {first / 2:.3f} -> {last / 2:.3f}")
            expect(last < 0.95 * first, f"{name}: the loss of {chain} does not fall: {curve}")
        scores = json.loads((directory / f"{name}/stack/scores.json").read_text())["candidates"][0]
        expect(scores["recall_at_1"] > 0.4, f"{name}: individuals are not told apart: {scores}")


def clustering(log):
    """Whether a run that wrote this was clustering when it ended."""
    return log.count(": clustering ") > log.count(": clusters of ")


def check_kills(directory, kills):
    """Clustering, a hundred starts before every epoch, takes most of this run's time. Every second kill hits it as it begins, the
    others come at any time after it began."""
    metric = {"divide": {"learners": 3, "every_epochs": 1, "starts": 100, "full_from": 4, "joint_from": 7},
              "losses": [{"kind": "margin", "parameters": {"learn_beta": 1, "per_identity": 1}},
                         {"kind": "center", "weight": 0.01}],
              "memory": 32, "loss_lr_multiplier": 10}
    file = recipe(directory, "divided", **metric)
    start = time.monotonic()
    text = call(["run", file], directory, ranks=1)
    duration = time.monotonic() - start
    expect("clusters of" in text, f"nothing was clustered\n{text}")
    reference = result_digests(directory / "divided")
    random.seed(5)
    done = in_clustering = 0
    for number in range(kills):
        ranks = [2, 4, 1, 3][number % 4]
        job = Job(["run", file, "--run-dir", "killed"], directory, ranks)
        while job.process.poll() is None and not clustering(output(job)):
            time.sleep(0.002)
        if number % 2:
            time.sleep(random.uniform(0, 0.3 * duration))
        victims = list(job.ranks().values())
        if job.process.poll() is not None or not victims:
            job.wait(60)
            break  # it was faster: what is there counts
        hurt(job, victims, random.choice(["one rank", "all ranks", "mpirun"]))
        job.wait(60)
        no_process_left(victims)
        done += 1
        in_clustering += clustering(output(job))
    expect(done > 0, "no job was killed")
    expect(in_clustering > 0, f"none of {done} jobs was hit while it clustered")
    call(["run", file, "--run-dir", "killed"], directory, ranks=2)
    expect_same_results(directory / "killed", reference, f"after {done} kills")
    print(f"divide and conquer: {done} kills, {in_clustering} of them in clustering, {duration:.1f} s without")


def check_classes(directory):
    """Images of nobody in particular are not learnt from and don't count, and mirror images are individuals of their own."""
    nobody = "5"
    for name, task in (("dropped", {"unknown": nobody, "unknown_as": "drop"}), ("flips", {"flip_as_class": True})):
        file = recipe(directory, name)
        content = json.loads(file.read_text())
        content["task"].update(task)
        if name == "flips":
            content["metric"]["losses"] = [{"kind": "arcface", "parameters": {"scale": 16}}]
            content["prediction"]["tta"] = ["identity", "flip_horizontal"]
            for stage in content["stages"]:
                stage["augment"] = {"flip_horizontal": True}
        file.write_text(json.dumps(content))
        call(["run", file], directory, ranks=1)
        call(["run", file, "--run-dir", f"{name}-on-2"], directory, ranks=2)
        expect_same_results(directory / f"{name}-on-2", result_digests(directory / name), f"{name} on 2 ranks")
    rows = {name: sum(chain["train_rows"] for chain in json.loads((directory / name / "plan.json").read_text())["chains"])
            for name in ("dropped", "flips")}
    expect(rows == {"dropped": 6 * (IDS - 1), "flips": 6 * IDS}, f"the chains learn from {rows} images")
    for name in ("dropped", "flips"):
        scores = json.loads((directory / name / "stack/scores.json").read_text())["candidates"][0]
        with h5py.File(directory / name / "oof.h5") as oof:
            embeddings, folds = np.asarray(oof["oof"])[0], np.asarray(oof["folds"])
            targets = np.array([int(i.decode().split("/")[-1]) // 6 for i in oof["ids"][:]])
        expect(embeddings.shape == (6 * IDS, 16), f"{name}: embeddings of shape {embeddings.shape}")
        right = []
        for fold in (0, 1):
            own = (folds == fold) & ((name == "flips") | (targets != int(nobody)))
            units = embeddings[own] / np.linalg.norm(embeddings[own], axis=1, keepdims=True)  # means of views are shorter
            cosines = units @ units.T
            np.fill_diagonal(cosines, -2)
            right += list(targets[own][cosines.argmax(1)] == targets[own])
        expect(abs(np.mean(right) - scores["recall_at_1"]) < 0.02, f"{name}: recall@1 {scores['recall_at_1']}, by hand {np.mean(right)}")
        expect(scores["recall_at_1"] > 0.3, f"{name}: individuals are not told apart: {scores}")


def check_bad_input(directory):
    refused = Refusals(directory, lambda: recipe(directory, "bad"))

    stages = copy.deepcopy(json.loads(recipe(directory, "bad").read_text())["stages"])
    stages[1]["batch"] = 18
    refused(3, "a batch of 18 is no multiple", stages=stages)
    refused(3, "did you mean", metric__losses=[{"kind": "margin", "parameters": {"alhpa": 1}}])
    refused(3, "metric.memory", metric__losses=[{"kind": "arcface"}], metric__memory=10)
    refused(3, "slices", metric__divide={"learners": 17})
    refused(3, "loss.kind", loss={"kind": "cross_entropy"})
    refused(3, "task.kind: metric only", task={"kind": "labels"}, loss={"kind": "cross_entropy"})
    make_individuals(directory, "singles", per_id=1)
    refused(4, "none of the 12 ids", dataset="singles")
    make_individuals(directory, "one", per_id=24, ids=1)
    refused(4, "nothing to tell apart", dataset="one", metric__split="closed")
    refused(4, "missing", dataset="missing")


def test(directory):
    make_individuals(directory)
    case = sys.argv[1]
    if case == "learning":
        check_learning(directory)
        check_looks(directory)
        check_one_learner(directory)
    elif case == "classes":
        check_classes(directory)
    elif case == "several_learners":
        check_several_learners(directory)
    elif case == "kills":
        check_kills(directory, 4)
    else:
        check_bad_input(directory)


if __name__ == "__main__":
    main(test)
