"""Sweeps: the same trials on any number of ranks and after kills, each trained once; the table of trials tells the truth.

Usage: sweeps.py CASE, one of the functions' names without "test_".
"""

import csv
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import time

from harness import (FAULTY_NETWORK, Job, call, expect, journal, main, make_dataset, no_process_left,
                     result_digests, shell)
from guides import blocks

LR = "stages.0.optimizer.lr"


def write_sweep(directory, sweep, name="sweep", **changes):
    recipe = {
        "name": name,
        "dataset": "data",
        "test": "test",
        "folds": {"count": 2},
        "backbones": [{"name": "conv4"}],
        "stages": [{"size_px": 16, "epochs": 4, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}}],
        "loss": {"kind": "cross_entropy"},
        "images": {"normalise": {"kind": "half"}},
        "prediction": {"chunk": 32},
        "training": {"checkpoint_every_steps": 3},
        "sweep": sweep,
        **changes,
    }
    file = directory / f"{name}.yaml"
    file.write_text(json.dumps(recipe, indent=1))
    return file


def prepare(directory):
    make_dataset(directory, samples=120)
    make_dataset(directory, "test", samples=40, seed=1)


def trials_table(run):
    with (run / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def lines(run):
    try:
        return journal(run)
    except (ValueError, FileNotFoundError):  # a torn last line, right after a kill; or none yet
        return []


def expect_nothing_repeated(run):
    """No trial is drawn, promoted or stopped twice, and no chain trained again after it was done."""
    seen = set()
    done = set()
    for record in journal(run):
        kind = record["type"]
        if kind.startswith("trial_"):
            key = (kind, record["trial"], record.get("rung"))
            expect(key not in seen, f"twice in the journal: {key}")
            seen.add(key)
        if kind == "chain_paused":
            key = (kind, record["chain"], record["epochs"])
            expect(key not in seen, f"twice in the journal: {key}")
            seen.add(key)
        if kind == "chain_finished":
            done.add(record["chain"])
        expect(not (kind == "chain_assigned" and record["chain"] in done),
               f"{record.get('chain')} was trained again after it had finished")


def trial_digests(run):
    return {trial.name: result_digests(trial) for trial in sorted((run / "trials").iterdir())
            if (trial / "oof.h5").exists()}


def run_with_kills(directory, recipe, run, kills, seed):
    """Runs a sweep to its end through so many kills -9, on another number of ranks each time."""
    rng = random.Random(seed)
    done = 0
    while done < kills:
        ranks = rng.choice([1, 2, 4])
        job = Job(["run", recipe, "--run-dir", run.name], directory, ranks)
        # Dies some work after the start, which takes a while on a busy machine.
        before = len(lines(run))
        until = before + rng.randrange(3, 9)
        deadline = time.monotonic() + 90
        while len(lines(run)) < until and job.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        victims = list(job.ranks().values())
        if job.process.poll() is not None or not victims:
            job.wait(60)
            break
        for pid in victims if rng.random() < 0.5 else [rng.choice(victims)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        job.wait(60)
        no_process_left(victims)
        done += 1
    expect(done > 0, "the sweep was over before the first kill")
    return call(["run", recipe, "--run-dir", run.name], directory, ranks=2)


def scores_of(run, metric):
    """Scores by trial and fold from the chains' own records in the journal."""
    scores = {}
    for record in journal(run):
        if record["type"] == "chain_finished":
            trial, chain = record["chain"].split("/")
            fold = int(re.search(r"-f(\d+)-", chain)[1])
            scores.setdefault(trial, {}).setdefault(fold, []).append(record["metrics"][metric])
    return scores


def test_random(directory):
    """One rank; four ranks; killed and resumed: the same bytes in every trial, and a true table."""
    prepare(directory)
    recipe = write_sweep(directory, {
        "method": "random", "trials": 3, "seed": 5,
        "space": {LR: {"low": 0.001, "high": 0.3, "log": True}, "stages.0.epochs": [1, 2]}})
    call(["run", recipe, "--run-dir", "one"], directory, ranks=1)
    reference = trial_digests(directory / "one")
    expect(sorted(reference) == ["0000", "0001", "0002"], f"trials {sorted(reference)}")
    call(["run", recipe, "--run-dir", "four"], directory, ranks=4)
    expect(trial_digests(directory / "four") == reference, "four ranks gave other bytes")
    output = run_with_kills(directory, recipe, directory / "killed", kills=3, seed=11)
    expect(trial_digests(directory / "killed") == reference, "kills changed the bytes")
    expect("best: trial" in output, output)
    for run in ("one", "four", "killed"):
        expect_nothing_repeated(directory / run)

    table = trials_table(directory / "killed")
    scores = scores_of(directory / "killed", "accuracy")
    best = max(table, key=lambda row: (float(row["accuracy"]), -int(row["trial"])))
    for row in table:
        folds = scores[row["trial"]]
        expect(row["phase"] == "finished" and row["chains_finished"] == "2", f"{row}")
        for fold in (0, 1):
            expect(abs(float(row[f"fold_{fold}"]) - folds[fold][0]) < 1e-6, f"{row} against {folds}")
        mean = (folds[0][0] + folds[1][0]) / 2
        expect(abs(float(row["accuracy"]) - mean) < 1e-6, f"{row} against a mean of {mean}")
        candidates = json.loads((directory / "killed/trials" / row["trial"] / "stack/scores.json").read_text())["candidates"]
        pooled = {c["name"]: c["oof_score"] for c in candidates}
        expect(abs(float(row["oof"]) - pooled["mean of models"]) < 1e-6, f"{row} against {pooled}")
        expect(abs(float(row["stack"]) - pooled["stack"]) < 1e-6, f"{row} against {pooled}")
    text = (directory / "killed/best.yaml").read_text()
    expect(f"# Trial {best['trial']} of the sweep" in text, f"best is {best}, but:\n{text[:200]}")

    # The best trial by itself is the same run; a trial's directory is one like any other.
    call(["run", "killed/best.yaml", "--run-dir", "alone"], directory, ranks=2)
    alone = (directory / "alone/oof.h5").read_bytes()
    expect(alone == (directory / "killed/trials" / best["trial"] / "oof.h5").read_bytes(),
           "best.yaml does not train to the trial's bytes")
    trial = f"killed/trials/{best['trial']}"
    call(["verify", trial], directory)
    call(["verify", "killed"], directory)
    call(["report", trial], directory)
    expect("complete" in call(["status", trial], directory), "a trial is no complete run")
    page = (directory / "killed/report.html").read_text()
    expect('id="trials"' in page and "<svg" in page and f"{best['trial']} ★" in page, "the page lacks its trials")
    expect("nothing to do" in call(["run", recipe, "--run-dir", "killed"], directory), "a complete sweep ran again")
    # Another space is another run.
    changed = call(["run", recipe, "--run-dir", "killed", "--set", "sweep.seed=6"], directory, code=3)
    expect("sweep.seed: 5 in the run, 6 now" in changed, changed)


def test_halving(directory):
    """Killed and resumed: promotions within their quota, each epoch's rung once, the best as if trained at one go."""
    prepare(directory)
    recipe = write_sweep(directory, {
        "method": "halving", "trials": 6, "halving": {"reduction": 2, "min_epochs": 1},
        "space": {LR: {"low": 0.0005, "high": 0.3, "log": True}}})
    run = directory / "killed"
    run_with_kills(directory, recipe, run, kills=3, seed=4)
    expect_nothing_repeated(run)
    records = journal(run)
    drawn = [r["trial"] for r in records if r["type"] == "trial_drawn"]
    expect(sorted(drawn) == list(range(6)), f"drawn: {drawn}")
    reached = {0: set(drawn)}
    for record in records:
        if record["type"] == "trial_promoted":
            reached.setdefault(record["rung"], set()).add(record["trial"])
    expect(len(reached[1]) >= 3 and len(reached[2]) >= 1, f"{reached}")
    # At least the best half of each rung went on, by the scores of the journal.
    for rung, epochs in ((0, 1), (1, 2)):
        scores = {}
        for record in records:
            if record["type"] == "chain_paused" and record["epochs"] == epochs:
                scores.setdefault(int(record["chain"][:4]), []).append(record["metrics"]["accuracy"])
        expect(set(scores) == reached[rung], f"rung {rung}: {scores} against {reached}")
        order = sorted(scores, key=lambda t: (-sum(scores[t]), t))
        expect(set(order[: len(order) // 2]) <= reached[rung + 1], f"rung {rung}: {order} against {reached}")
    table = {row["trial"]: row for row in trials_table(run)}
    finished = {int(t) for t, row in table.items() if row["phase"] == "finished"}
    expect(finished == reached[2], f"finished {finished} against {reached}")
    status = call(["status", "killed"], directory)
    expect(f"{len(finished)} finished" in status and "paused" in status, status)
    call(["run", "killed/best.yaml", "--run-dir", "alone"], directory)
    best = re.search(r"Trial (\d+)", (run / "best.yaml").read_text())[1]
    expect((directory / "alone/oof.h5").read_bytes() == (run / "trials" / best / "oof.h5").read_bytes(),
           "pauses at rungs changed the best trial's bytes")


def test_stopping(directory):
    """A poor and a diverging trial are stopped; the signal to stop is obeyed and the sweep resumed."""
    prepare(directory)
    recipe = write_sweep(directory, {
        "method": "grid", "metric": "loss", "stopping": {"kind": "median", "after_folds": 1, "after_trials": 2},
        "space": {LR: [0.003, 0.05, 0.001, 1e30]}}, folds={"count": 3}, backbones=[{"name": "simplenet_cifar"}],
        stages=[{"size_px": 8, "epochs": 4, "batch": 24, "optimizer": {"kind": "sgd"}}])  # 0.05: a loss of tens, others' below 2
    job = Job(["run", recipe, "--run-dir", "run"], directory, 2)
    deadline = time.monotonic() + 90
    while not any(r["type"] == "chain_assigned" for r in lines(directory / "run")) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in job.ranks().values():
        os.kill(pid, signal.SIGTERM)
    expect(job.wait(60) == 75, job.output())
    call(["run", recipe, "--run-dir", "run"], directory, ranks=2)
    expect_nothing_repeated(directory / "run")
    rows = {float(row[LR]): row for row in trials_table(directory / "run")}
    expect(rows[1e30]["phase"] == "stopped" and "the loss is" in rows[1e30]["note"], f"{rows[1e30]}")
    expect(rows[0.05]["phase"] == "stopped" and "median" in rows[0.05]["note"], f"{rows[0.05]}")
    expect(rows[0.003]["phase"] == "finished" or rows[0.001]["phase"] == "finished", f"{rows}")


def test_failed(directory):
    """A trial whose chains are set aside keeps back no other: those are finished, and the same command tries it again."""
    prepare(directory)
    recipe = write_sweep(directory, {
        "method": "grid", "space": {"backbones": [[{"name": "conv4"}], [{"name": "faulty"}]]}},
        plugins=[FAULTY_NETWORK], stages=[{"size_px": 16, "epochs": 1, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}}])
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    reference = trial_digests(directory / "reference")
    run = directory / "run"
    os.environ["BALEEN_FAULTY"] = "what=fail"
    text = call(["run", recipe, "--run-dir", "run"], directory, ranks=2, code=4)
    del os.environ["BALEEN_FAULTY"]
    good, bad = trials_table(run)
    expect(good["phase"] == "finished" and good["oof"] and good["stack"], f"{good}")
    expect(bad["phase"] == "failed" and "fails as it was told" in bad["note"] and not bad["oof"], f"{bad}")
    expect("1 finished, 1 failed" in text and "best: trial 0000" in text, text)
    expect("# Trial 0000 of the sweep" in (run / "best.yaml").read_text(), "best.yaml is not that of the good trial")
    expect(trial_digests(run) == {"0000": reference["0000"]}, "other trials are finished, or to other bytes")
    expect("1 failed" in (run / "report.html").read_text(), "the page does not show the failed trial")
    expect("1 failed" in call(["status", "run"], directory), "the status does not show the failed trial")
    call(["verify", "run"], directory)
    call(["verify", "run/trials/0000"], directory)

    call(["run", recipe, "--run-dir", "run"], directory, ranks=2)
    expect([row["phase"] for row in trials_table(run)] == ["finished"] * 2, f"{trials_table(run)}")
    expect(trial_digests(run) == reference, "the second start led to other bytes")
    expect_nothing_repeated(run)
    call(["verify", "run"], directory)


def test_bad_input(directory):
    """Mistakes are named with their places before anything is trained; exit code 3."""
    prepare(directory)
    good = write_sweep(directory, {"space": {LR: [0.1, 0.2]}})
    plan = call(["plan", good, "--ranks", "4"], directory)
    for part in ("2 trials", "4 chains", LR, "0.1 | 0.2", "judged    by accuracy", "expected time"):
        expect(part in plan, f"'{part}' is not in\n{plan}")
    cases = [
        (["sweep.metric=f2"], "has no metric 'f2', but loss, accuracy"),
        ([f"sweep.space={{{LR}: [fast]}}"], "expects a finite number, found the text 'fast'"),
        (["sweep.space={stages.0.batch: [16, 100]}"], f"trial 0001 ({LR} = 0.1, stages.0.batch = 100)"),
        (["sweep.space={dataset: [data, nowhere]}"], f"trial 0001 ({LR} = 0.1, dataset = nowhere)"),
        (["sweep.space={backbones.0.name: [conv4, resnet81]}"], "there is no backbone 'resnet81'"),
        (["sweep.method=halving", "sweep.trials=2", "sweep.halving.min_epochs=4"], "no rung to compare trials at"),
        (["sweep.method=bayes"], "sweep.method must be one of grid, random, halving"),
        (["sweep.space={run_dir: [a, b]}"], "'run_dir' can't be swept"),
    ]
    for assignments, message in cases:
        arguments = [part for assignment in assignments for part in ("--set", assignment)]
        output = call(["run", good, "--run-dir", "none", *arguments], directory, code=None)
        expect(message in output, f"{assignments}: '{message}' is not in\n{output}")
        expect(not (directory / "none").exists(), f"{assignments} left a run directory behind")


def test_guide(directory):
    """Every command of docs/sweeps.md, on processor cores; the guide's planet.yaml is read, and a smaller one trained in its place."""
    prepare(directory)
    shutil.copytree(pathlib.Path(os.environ["BALEEN_SOURCE"]) / "experiments/recipes", directory / "experiments/recipes")
    base = json.loads(write_sweep(directory, None, name="planet").read_text())
    base["stages"][0]["epochs"] = 2
    del base["sweep"]
    commands = 0
    for block in blocks("sweeps.md"):
        if block.language == "yaml":
            if name := block.file_name():
                (directory / name).write_text(block.text)
            if name == "planet.yaml":
                config = call(["run", name, "--print-config"], directory)
                expect(config.startswith("name: planet "), f"{name} of the guide has another name:\n{config}")
                (directory / name).write_text(json.dumps(base))
            continue
        for line in block.commands():
            shell(line.replace("mpirun -n 4", "mpirun -n 4 --oversubscribe --bind-to none"), directory)
            commands += 1
    expect(commands >= 8, f"only {commands} commands were found")
    expect((directory / "runs/lr/best.yaml").exists() and (directory / "runs/lr/trials/0003/report.html").exists(),
           "the guide's files are missing")


main(globals()["test_" + sys.argv[1]])
