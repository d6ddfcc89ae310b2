"""What the tables of re-identification have in common: training fold 0 of a model once per seed, distances between the held-out
images, recall@1 and mAP@5, and the fusion of models.

All models of a seed are fused by adding up scores, 1 / (1 + ln(1 + ln(1 + d))), of distances d between unit embeddings, and 1 - p of
a siamese network. Needs numpy and h5py.
"""

import argparse
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import time

import h5py
import numpy as np

SOURCE = pathlib.Path(__file__).resolve().parents[2]
RECIPES = SOURCE / "experiments/recipes"


def folder_name(model):
    return "".join(c if c.isalnum() else "-" for c in model.lower())


def train(arguments, model, recipe, changes, chain, seed):
    """Fold 0 of one model; the run is interrupted once its chain is finished. Returns the chain's folder and its seconds."""
    run = arguments.work / "runs" / f"{folder_name(model)}-{seed}"
    done = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()] if run.exists() else []
    command = [arguments.baleen, "run", recipe, "--run-dir", run, "--set", f"seed={seed}"]
    for change in (*changes, *arguments.extra):
        command += ["--set", change]
    if not any(record["type"] == "chain_finished" and record["chain"] == chain for record in done):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        log = open(arguments.work / f"{run.name}.log", "w")
        job = subprocess.Popen([str(part) for part in command], cwd=arguments.work, env=environment, stdout=log, stderr=log)
        while job.poll() is None:
            time.sleep(0.2)
            journal = run / "journal.jsonl"
            if journal.exists() and f'"chain_finished","chain":"{chain}"' in journal.read_text().replace(" ", ""):
                job.send_signal(signal.SIGTERM)
                break
        if job.wait() not in (0, 75):
            sys.exit(f"{command} ended with {job.returncode}: see {log.name}")
    records = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    finished = [r for r in records if r["type"] == "chain_finished" and r["chain"] == chain]
    return run / "chains" / chain, finished[-1]["seconds"]


def features_of(chain):
    with h5py.File(chain / "oof.h5") as file:
        ids = [name.decode() for name in file["ids"][:]]
        values = np.asarray(file["predictions"], np.float64)
    order = np.argsort(ids)
    return [ids[i] for i in order], values[order]


def read_tensors(file):
    """The tensors of a safetensors file."""
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
    return {name: np.frombuffer(data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]],
                                types[entry["dtype"]]).reshape(entry["shape"]) for name, entry in header.items()}


def head_distances(features, tensors):
    """1 - p for all pairs, by the head's formula."""
    head = {name.split("pair_head.")[1]: tensor.astype(np.float32) for name, tensor in tensors.items() if "pair_head." in name}
    features = features.astype(np.float32)
    count = len(features)
    logits = np.zeros((count, count), np.float32)
    for i, u in enumerate(features):
        v = features[i:]
        difference = np.abs(u - v)
        channels = np.stack([u * v, u + v, difference, difference**2], axis=2)
        hidden = np.maximum(channels @ head["hidden.weight"].T + head["hidden.bias"], 0)
        per_feature = (hidden @ head["feature.weight"].T)[:, :, 0] + head["feature.bias"]
        logits[i, i:] = logits[i:, i] = per_feature @ head["weighted.weight"][0] + head["weighted.bias"]
    return 1 / (1 + np.exp(logits.astype(np.float64)))


def distances_of(chain):
    """Names of the held-out drawings, sorted, and their distances from each other."""
    ids, features = features_of(chain)
    tensors = read_tensors(chain / "weights.safetensors")
    if any(name.startswith("pair_head.") for name in tensors):
        return ids, head_distances(features, tensors)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    return ids, np.sqrt(np.maximum(2 - 2 * units @ units.T, 0))


def judge(ids, scores):
    """recall@1 and mAP@5 of every drawing against all others."""
    labels = np.array([name.rsplit("/", 1)[0] for name in ids])
    recall, precision = [], []
    for query in range(len(ids)):
        order = np.argsort(-scores[query], kind="stable")
        order = order[order != query]
        recall.append(labels[order[0]] == labels[query])
        met = list(dict.fromkeys(labels[order[:200]]))[:5]
        precision.append(1 / (met.index(labels[query]) + 1) if labels[query] in met else 0)
    return np.mean(recall), np.mean(precision)


def mapped(distances):
    return 1 / (1 + np.log1p(np.log1p(distances)))


def row(name, scores, seconds):
    scores = np.array(scores)
    spread = scores.std(axis=0, ddof=1) if len(scores) > 1 else np.zeros(2)
    cells = " | ".join(f"{mean:.3f} ± {sd:.3f}".replace("0.", ".") for mean, sd in zip(scores.mean(axis=0), spread))
    return f"| {name} | {cells} | {seconds} |"


def prepare(arguments, dataset, images, changes=()):
    """Resolves paths; lists, packed images and their description in the working folder, once.
    dataset: of launch/list_individuals.py and the recipe's name; changes: (from, to) in the description."""
    arguments.baleen, arguments.work = arguments.baleen.resolve(), arguments.work.resolve()
    work = arguments.work
    if (work / f"packed/{dataset}/manifest.json").exists():
        return
    (work / "recipes").mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, SOURCE / "launch/list_individuals.py", dataset, images, work / dataset], check=True)
    description = (RECIPES / f"{dataset}-data.yaml").read_text()
    for before, after in (*changes, ("../../", "../")):
        description = description.replace(before, after)
    (work / f"recipes/{dataset}-data.yaml").write_text(description)
    subprocess.run([arguments.baleen, "pack", f"recipes/{dataset}-data.yaml"], cwd=work, check=True)


def parser_for(description, models):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baleen", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--models", nargs="+", choices=list(models), default=list(models))
    parser.add_argument("--set", action="append", default=[], dest="extra", help="further settings of all runs, to try things")
    return parser


def measure(arguments, models, chain):
    """Prints the table. models: name: (recipe, settings); chain: the name of fold 0's, with {seed}.
    Returns names of the images and, by model and seed, their distances."""
    results, seconds, all_distances = {}, {}, {}
    fused = []
    for seed in arguments.seeds:
        total = 0
        for model in arguments.models:
            folder, duration = train(arguments, model, *models[model], chain.format(seed=seed), seed)
            ids, distances = distances_of(folder)
            all_distances[model, seed] = distances
            results.setdefault(model, []).append(judge(ids, -distances))
            seconds.setdefault(model, []).append(duration)
            total = total + mapped(distances)
            print(f"seed {seed}, {model}: recall@1 {results[model][-1][0]:.4f}, mAP@5 {results[model][-1][1]:.4f}, "
                  f"{duration:.0f} s", flush=True)
        fused.append(judge(ids, total))
        print(f"seed {seed}, fused: recall@1 {fused[-1][0]:.4f}, mAP@5 {fused[-1][1]:.4f}", flush=True)
    print("\n| | recall@1 | mAP@5 | seconds |\n| --- | ---: | ---: | ---: |")
    for model in arguments.models:
        print(row(model, results[model], f"{np.mean(seconds[model]):.0f}"))
    if len(arguments.models) > 1:
        print(row("all fused", fused, ""))
    return ids, all_distances
