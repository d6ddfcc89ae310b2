"""`baleen run` learns to compare pairs: unseen individuals are told apart by the network's head, `baleen match` uses it, and a
run that is killed or interrupted, also while it mines pairs, ends with the same bytes on any number of ranks.
"""

import json
import os
import random
import signal
import sys
import time

import h5py
import numpy as np

from harness import Job, call, expect, expect_same_results, main, no_process_left, result_digests
from metric_data import Refusals, hurt, make_individuals, output

IDS = 24


def recipe(directory, name, epochs=(6, 2), **siamese):
    content = {
        "name": name, "dataset": "data", "run_dir": name, "folds": {"count": 2},
        "task": {"kind": "siamese"},
        "siamese": {"mine_every_epochs": 2, "block": 30, "split": "disjoint", **siamese},
        "backbones": [{"name": "conv4"}],
        "stages": [
            {"size_px": 16, "epochs": epochs[0], "batch": 24, "optimizer": {"kind": "adam", "lr": 0.002},
             "pair_noise": [{"amplitude": 1000}, {"from_epoch": 2, "amplitude": 0.5}][:1 + (epochs[0] > 2)]},
            {"size_px": 20, "epochs": epochs[1], "batch": 24, "optimizer": {"kind": "adam", "lr": 0.001, "keras_l2": 0.0001},
             "pair_noise": [{"amplitude": 0.2}], "augment": {"affine": {"shift": 0.05}}},
        ],
        "training": {"logical_shards": 4, "checkpoint_every_steps": 5},
        "prediction": {"chunk": 16},
    }
    file = directory / f"{name}.yaml"
    file.write_text(json.dumps(content))
    return file


def check_learning(directory):
    make_individuals(directory)
    file = recipe(directory, "plain")
    text = call(["run", file], directory, ranks=1)
    scores = json.loads((directory / "plain/stack/scores.json").read_text())["candidates"][0]
    expect("recall@1" in text and scores["recall_at_1"] > 0.5, f"individuals are not told apart: {scores}\n{text}")
    expect("pairs of 72 images for 2 epochs" in text and "0 images rest" in text, text)
    with h5py.File(directory / "plain/oof.h5") as oof:
        features = np.asarray(oof["oof"])[0]
    expect(features.shape == (6 * IDS, 128), f"features of shape {features.shape}")
    # Every metric of the finished chains is that of the table.
    for chain in sorted((directory / "plain/chains").iterdir()):
        last = json.loads((chain / "metrics.jsonl").read_text().splitlines()[-1])
        fold = int(chain.name.split("-f")[1].split("-")[0])
        expect(abs(last["val"]["map_at_5"] - scores["score_by_fold"][fold]) < 1e-9, f"{chain.name}: {last} and {scores}")
    call(["verify", "plain"], directory)
    # A mined period of exact mode as well as of blocks, smart flips included, on 2 and 4 ranks.
    call(["run", file, "--run-dir", "plain-on-4"], directory, ranks=4)
    expect_same_results(directory / "plain-on-4", result_digests(directory / "plain"), "4 ranks")
    for ranks in (1, 2):
        call(["run", recipe(directory, "exact", epochs=(3, 1), block=0, smart_flips="all"), "--run-dir", f"exact-{ranks}"],
             directory, ranks=ranks)
    expect_same_results(directory / "exact-2", result_digests(directory / "exact-1"), "exact mode on 2 ranks")
    check_match(directory, scores)


def check_match(directory, scores):
    """`baleen match` with the chain's weights, the held-out images against each other: by the head, as the run judged them."""
    weights = directory / "plain/chains/conv4-f0-s1/weights.safetensors"
    with h5py.File(directory / "plain/oof.h5") as oof:
        ids = [i.decode() for i in oof["ids"][:]]
        folds = np.asarray(oof["folds"])
    held_out = {i for i, fold in zip(ids, folds) if fold == 0}
    call(["match", "--weights", weights, "--gallery", "data", "--queries", "data", "--keep-features", "kept", "--output", "all.csv"],
         directory, ranks=2)
    answers = dict(line.split(",") for line in (directory / "all.csv").read_text().splitlines()[1:])
    expect(set(answers) == set(ids), "not all images were answered")
    with h5py.File(directory / "kept/queries-1.h5") as table:
        order = [i.decode() for i in table["ids"][:]]
        found = np.asarray(table["predictions"])
    with h5py.File(directory / "plain/oof.h5") as oof:
        own = np.asarray(oof["oof"])[0][[ids.index(i) for i in order]]
    of_fold = np.array([i in held_out for i in order])
    expect(np.allclose(found[of_fold], own[of_fold], rtol=1e-4, atol=1e-5), "match sees other features than the run")
    # The right individual comes first more often than by the angle of the same features.
    label = {i: int(i) // 6 if i.isdigit() else None for i in order}
    if all(v is not None for v in label.values()):
        right = np.mean([answers[i].split(" ")[0] == str(label[i]) for i in held_out])
        expect(right > 0.5, f"match finds {right} of the held-out images at the first place")
    # The nearest image is by the head, too: it shows who comes first.
    nearest = []
    for ranks in (1, 2):
        call(["match", "--weights", weights, "--gallery", "data", "--queries", "data", "--nearest", f"nearest-{ranks}.csv"],
             directory, ranks=ranks)
        nearest.append((directory / f"nearest-{ranks}.csv").read_text().splitlines())
    expect(nearest[0] == nearest[1], "2 ranks find other nearest images than 1")
    expect(nearest[0][0] == "query,place,image,individual,score", nearest[0][0])
    first = [row for row in (line.split(",") for line in nearest[0][1:]) if row[1] == "1"]
    same = np.mean([answers[row[0]].split(" ")[0] == row[3] for row in first])
    expect(len(first) == len(ids) and same > 0.95, f"the nearest image shows the first answer for {same} of the queries")
    text = call(["match", "--weights", weights, "--gallery", "data", "--queries", "data", "--rerank"], directory, code=2)
    expect("re-ranking" in text, text)


def mining(log):
    """Whether a run that wrote this was mining when it ended."""
    return log.count("mining pairs") > log.count(" epochs in ")


def check_kills(directory, kills):
    """Jobs are killed in the middle of mining, which lasts long here: many lists of one exact problem."""
    make_individuals(directory, per_id=20)
    file = recipe(directory, "mined", epochs=(60, 1), block=0, mine_every_epochs=60)
    content = json.loads(file.read_text())
    for stage, epochs in zip(content["stages"], (3, 1)):
        stage["epochs"] = epochs
    content["stages"][0]["pair_noise"] = [{"amplitude": 1}]
    content["siamese"]["mine_every_epochs"] = 1
    file.write_text(json.dumps(content))
    call(["run", file], directory, ranks=1)
    reference = result_digests(directory / "mined")
    random.seed(3)
    in_mining = 0
    for number in range(kills):
        ranks = [2, 4, 1, 3][number % 4]
        job = Job(["run", file, "--run-dir", "killed"], directory, ranks)
        wanted = number % 3 + 1
        while job.process.poll() is None and output(job).count("mining pairs") < wanted:
            time.sleep(0.002)
        victims = list(job.ranks().values())
        if job.process.poll() is not None or not victims:
            job.wait(60)
            break
        how = ["one rank", "signal", "all ranks", "mpirun"][number % 4]
        if how == "signal":
            os.kill(victims[0], signal.SIGTERM)
            expect(job.wait(60) == 75, f"a signal in mining gave another exit code\n{output(job)}")
        else:
            hurt(job, victims, how)
            job.wait(60)
        no_process_left(victims)
        in_mining += mining(output(job))
    expect(in_mining > 0, "no job was hit while it mined pairs")
    call(["run", file, "--run-dir", "killed"], directory, ranks=2)
    expect_same_results(directory / "killed", reference, f"after {kills} kills, {in_mining} of them in mining")
    print(f"siamese: {in_mining} of {kills} kills in mining")


def check_bad_input(directory):
    make_individuals(directory)

    refused = Refusals(directory, lambda: recipe(directory, "bad"))

    refused(3, "task.kind: siamese only", task={"kind": "labels"})
    refused(3, "did you mean", siamese__blocks=3)
    make_individuals(directory, "singles", per_id=1)
    refused(4, "none of the 12 ids", dataset="singles")
    make_individuals(directory, "one", per_id=24, ids=1)
    refused(4, "nothing to tell apart", dataset="one", siamese__split="closed")
    # Some individuals have one image only: those rest, and one has most images, so that not all find a partner.
    make_individuals(directory, "uneven", counts=[60, 1, 1, 8, 8, 1])
    content = json.loads(recipe(directory, "uneven-run", epochs=(1, 1), split="closed").read_text())
    content["dataset"] = "uneven"
    (directory / "uneven-run.yaml").write_text(json.dumps(content))
    text = call(["run", "uneven-run.yaml"], directory, ranks=2)
    expect("found no partner" in text and "images rest" in text, text)


def test(directory):
    case = sys.argv[1]
    if case == "learning":
        check_learning(directory)
    elif case == "kills":
        check_kills(directory, 4)
    else:
        check_bad_input(directory)


main(test)
