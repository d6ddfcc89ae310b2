"""Campaigns that end a run from outside and resume it: kills, signals, failing writes."""

import collections
import json
import shutil
import time

import numpy as np
from PIL import Image

import harness
from metric import make_individuals
from trials import (FILE_FAULTS, FaultyJob, Job, OtherLoad, call, complete, expect, expect_no_repetition, expect_same,
                    finished_chains, is_ours, no_process_left, outcome, records, send, signal, status_of, wait_for_phase,
                    work_lost_s)

BOTH = harness.DEEP_NETWORKS["backbones"]
ONE = BOTH[1:]
STAGES = harness.DEEP_NETWORKS["stages"]


def stage(**changes):
    return {"size_px": 12, "epochs": 2, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}, **changes}


def prepare(directory):
    harness.make_dataset(directory)
    harness.make_dataset(directory, "test", samples=60, seed=1)


def kills(directory, campaign):
    """Sweeps that are killed up to twelve times each, and then end with the bytes of one that was not."""
    prepare(directory)
    # Checkpoints as often as their default share allows, not by steps: that is what limits the work lost.
    recipe = harness.write_recipe(directory, backbones=ONE, stages=STAGES, training__checkpoint_every_steps=0,
                                  sweep={"method": "grid", "space": {"stages.0.optimizer.lr": [0.02, 0.05]}})
    start = time.monotonic()
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    duration = time.monotonic() - start
    reference = outcome(directory / "reference")
    done = 0

    def kill_once(run, draw):
        """One start that is killed. Returns what was done, or nothing where it ended before."""
        nonlocal done
        ranks = draw.choice([1, 2, 3, 4])
        phase = draw.choice(["begin", "train", "train", "validate", "predict", "stacking", "any"])
        how = draw.choice(["a rank", "rank 0", "mpirun", "all"])
        pause = draw.uniform(0, 1.2) if phase == "begin" else draw.uniform(0, 0.25)
        if phase == "any":
            pause = draw.uniform(0.3, max(1.0, duration))
        since = time.time()
        job = Job(["run", recipe, "--run-dir", run.name], directory, ranks)
        if phase not in ("begin", "any") and not wait_for_phase(run, job, phase, since):
            job.wait(60)
            return None
        end = time.monotonic() + pause
        while time.monotonic() < end and job.process.poll() is None:
            time.sleep(0.005)
        victims = job.ranks()
        if job.process.poll() is not None or not victims:
            job.wait(60)
            return None
        now = time.time()
        lost = work_lost_s(run, now) if status_of(run).get("started_s", 0) >= since else 0.0
        chosen = {"a rank": [draw.choice(sorted(victims.values()))], "rank 0": [victims.get(0, min(victims.values()))],
                  "mpirun": [job.process.pid], "all": list(victims.values())}[how]
        send(chosen, signal.SIGKILL)
        killed = time.monotonic()
        job.wait(60)
        no_process_left(victims.values())
        campaign.within("seconds until all were gone", time.monotonic() - killed, 5)
        campaign.within("seconds of work lost", lost, 10)
        done += 1
        return f"{how} of {ranks} in {phase}"

    def trial(number):
        draw = campaign.random(number)
        run = directory / f"killed-{number}"
        told = []
        for _ in range(12):
            text = kill_once(run, draw)
            if text:
                told.append(text)
            if complete(run):
                break
        if not complete(run):
            call(["run", recipe, "--run-dir", run.name], directory, ranks=draw.choice([1, 2, 3, 4]))
        expect_same(run, reference, f"after kills of {told}")
        expect_no_repetition(run)
        shutil.rmtree(run)
        return f"{len(told)} kills: {'; '.join(told)}"

    # Runs that end before their twelve kills are made up for by more runs.
    if campaign.options.trial is not None:
        campaign.run([], trial)
        return
    numbers = []

    def until_enough():
        number = 0
        while done < campaign.options.count:
            numbers.append(number)
            yield number
            number += 1

    class Numbers:
        def __iter__(self):
            return until_enough()

        def __len__(self):
            return max(len(numbers), 1)

    campaign.run(Numbers(), trial)
    print(f"kills: {done} in all", flush=True)


def mask_images(directory):
    """Pictures with a bright square, and their masks."""
    rng = np.random.default_rng(3)
    for folder in ("known", "known-masks"):
        (directory / folder).mkdir()
    for i in range(150):
        y, x = rng.integers(0, 20, 2)
        inside = np.zeros((32, 32), bool)
        inside[y:y + 12, x:x + 12] = True
        pixels = rng.integers(0, 120, (32, 32)) + 110 * inside
        Image.fromarray(pixels.astype(np.uint8)).save(directory / "known" / f"{i:03}.png")
        Image.fromarray((255 * inside).astype(np.uint8)).save(directory / "known-masks" / f"{i:03}.png")
    (directory / "known.yaml").write_text("output: packed-known\nsource: images\nimages: known\nextension: .png\nfit: squash\n"
                                          "size_px: 32\nchannels: 1\n")
    call(["pack", directory / "known.yaml"], directory)


# Recipes in which one phase takes most of the time: phase to wait for, and what differs from harness.write_recipe().
PHASES = {
    "train": ("train", {"backbones": ONE, "stages": [stage(epochs=8)]}),
    "validate": ("validate", {"backbones": ONE, "stages": [stage(epochs=3, batch=120)], "prediction": {"chunk": 1}}),
    "statistics": ("statistics", {"backbones": [{"name": "resnet18"}],
                                  "stages": [stage(epochs=1, batch=4, reestimate_batch_norm=True, dropout=0.2)],
                                  "training__logical_shards": 2}),
    "predict": ("predict", {"backbones": ONE, "stages": [stage(epochs=1)],
                            "prediction": {"chunk": 4, "tta_random_passes": 60, "tta_augment": {"noise": 0.05}}}),
    "stacking": ("stacking", {"backbones": BOTH, "stages": [stage(epochs=1, size_px=8)],
                              "stacking": {"alphas": [round(0.01 * i, 2) for i in range(1, 40000)]}}),
    "masks": ("stacking", {"name": "masks", "dataset": "packed-known", "test": "", "backbones": [{"name": "unet"}],
                           "task": {"kind": "masks", "masks": "known-masks"}, "loss": {"kind": "bce_dice"},
                           "stages": [stage(size_px=32, epochs=1, batch=50)], "prediction": {"chunk": 16},
                           "images": {"normalise": {"kind": "half"}}}),
    "cluster": ("cluster", {"dataset": "individuals", "test": "", "task": {"kind": "metric"}, "backbones": [{"name": "conv4"}],
                            "stages": [stage(size_px=16, epochs=3, batch=16)], "prediction": {"chunk": 16}, "loss": {},
                            "images": {"normalise": {"kind": "half"}},
                            "metric": {"embedding": 512, "images_per_id": 4, "split": "disjoint",
                                       "divide": {"learners": 8, "every_epochs": 1, "starts": 100}}}),
    "mine": ("mine", {"dataset": "individuals", "test": "", "task": {"kind": "siamese"}, "backbones": [{"name": "conv4"}],
                      "stages": [stage(size_px=16, epochs=3, pair_noise=[{"amplitude": 1}])], "prediction": {"chunk": 16},
                      "loss": {}, "images": {"normalise": {"kind": "half"}},
                      "siamese": {"mine_every_epochs": 1, "block": 0, "split": "disjoint"}}),
    "pack": (None, None),
}

# Signals to one run, each sent to what the one before left behind.
PER_RUN = 5


def step_seconds(run, reference, batch):
    """What a step takes at the moment, by the slowest chain in work; as the reference's where none has told yet, such as after a
    resume into validation."""
    rates = [chain["samples_per_s"] for chain in status_of(run).get("in_work", [])]
    if not any(rates):
        rates = [json.loads(line).get("samples_per_s") for line in (reference / "metrics.jsonl").read_text().splitlines()]
    return max((batch / rate for rate in rates if rate), default=0.0)


def wait_and_look(campaign, job, load, ranks):
    """(exit code, seconds until the last rank had ended) of a job that was told to end. mpirun takes two seconds of its own after a
    rank that ends with other than 0, which is told apart."""
    sent = time.monotonic()
    gone = None
    while job.process.poll() is None and time.monotonic() < sent + 60:
        load.look()
        if gone is None and not any(is_ours(rank) for rank in ranks):
            gone = time.monotonic() - sent
        time.sleep(0.02)
    ended = time.monotonic() - sent
    campaign.note("seconds until mpirun had ended", ended)
    return job.wait(1), ended if gone is None else gone


def within_a_step(campaign, taken, step, load):
    """One step, as long as it takes here and now, and two seconds of a machine of one's own."""
    campaign.note("seconds of a step", step)
    campaign.note("share of the processors that others took", load.share())
    campaign.note("seconds beyond the step, in a machine's own time", (taken - step) * (1 - load.share()))
    campaign.within("seconds until it had saved and ended", taken, step + 2 / (1 - load.share()))


def signals(directory, campaign):
    """Each signal in each phase: saved, exit code 75 within a step and two seconds, the same bytes after a resume."""
    prepare(directory)
    wanted = (campaign.options.phases or ",".join(PHASES)).split(",")
    if "masks" in wanted:
        mask_images(directory)
    if {"cluster", "mine"} & set(wanted):
        make_individuals(directory, "individuals", per_id=20)
    references = {}
    recipes = {}
    order = [(phase, number) for phase in wanted for number in (signal.SIGTERM, signal.SIGUSR1)]
    trials = list(range(-(-campaign.options.count // PER_RUN) * len(order)))
    if campaign.options.sample:
        trials = sorted(campaign.random("sample").sample(trials, campaign.options.sample))
    sent = collections.Counter()

    def recipe_of(phase):
        if phase not in recipes:
            file = harness.write_recipe(directory, **PHASES[phase][1])
            recipes[phase] = file.rename(directory / f"{phase}.yaml")
            call(["run", recipes[phase], "--run-dir", f"reference-{phase}"], directory, ranks=2)
            references[phase] = outcome(directory / f"reference-{phase}")
        return recipes[phase]

    def interrupt(run, phase, number, draw):
        """One start that is interrupted; nothing where it was over first."""
        ranks = draw.choice([1, 2, 3])
        since = time.time()
        job = Job(["run", recipe_of(phase), "--run-dir", run.name], directory, ranks)
        if not wait_for_phase(run, job, PHASES[phase][0], since):
            job.wait(60)
            return None
        time.sleep(draw.uniform(0, 1.0 if phase == "train" else 0.1))
        victims = job.ranks()
        who = draw.choice(["all ranks", "one rank", "mpirun"] if number == signal.SIGUSR1 else ["all ranks", "one rank"])
        step = 0.0
        if phase in ("train", "validate", "statistics"):
            step = step_seconds(run, directory / f"reference-{phase}", PHASES[phase][1]["stages"][0]["batch"])
        load = OtherLoad([job.process.pid, *victims.values()])
        send({"all ranks": list(victims.values()), "one rank": [draw.choice(sorted(victims.values()))] if victims else [],
              "mpirun": [job.process.pid]}[who], number)
        code, taken = wait_and_look(campaign, job, load, victims.values())
        no_process_left(victims.values())
        if code == 0 and complete(run):
            return None
        expect(code == 75, f"{number.name} to {who} of {ranks} in {phase}: exit code {code} instead of 75\n{job.output()}")
        expect(records(run)[-1].get("exit_code") == 75, "the journal does not say that it was interrupted")
        within_a_step(campaign, taken, step, load)
        return f"{number.name} to {who} of {ranks} in {phase}: ended after {taken:.2f} s"

    def pack_trial(number, draw, trial):
        import packing_trial
        return packing_trial.interrupt(directory, number, draw, trial, campaign)

    def trial(index):
        phase, number = order[index % len(order)]
        draw = campaign.random(index)
        if phase == "pack":
            told = [pack_trial(number, draw, f"{index}-{i}") for i in range(PER_RUN)]
            sent[phase, number.name] += len(told)
            return "; ".join(told)
        run = directory / f"interrupted-{index}"
        told = []
        for _ in range(3 * PER_RUN):
            before = finished_chains(run)
            text = interrupt(run, phase, number, draw)
            told += [text] if text else []
            expect(set(before) <= set(finished_chains(run)), "a finished chain was forgotten")
            if complete(run):
                compare(run, phase, told)  # and from the start for the signals that are left
            if len(told) == PER_RUN:
                break
        expect(len(told) == PER_RUN, f"the signal came too late for {phase} all but {len(told)} times")
        if run.exists():
            call(["run", recipe_of(phase), "--run-dir", run.name, "--resume", "must"], directory, ranks=draw.choice([1, 2, 3]))
            compare(run, phase, told)
        sent[phase, number.name] += len(told)
        return "; ".join(told)

    def compare(run, phase, told):
        expect_same(run, references[phase], f"after {told}")
        expect_no_repetition(run)
        shutil.rmtree(run)

    try:
        campaign.run(trials, trial)
    finally:
        print("signals: " + ", ".join(f"{count} {name} in {phase}" for (phase, name), count in sent.items()), flush=True)


def writes(directory, campaign):
    """The n-th write, sync or rename on one rank fails: what is there stays whole, and a resume ends with the same bytes."""
    prepare(directory)
    recipe = harness.write_recipe(directory, backbones=ONE, stages=STAGES, training__logical_shards=2)
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    reference = outcome(directory / "reference")

    def trial(number):
        draw = campaign.random(number)
        run = directory / f"faulty-{number}"
        what = draw.choice(["write", "sync", "rename"])
        fault = (f"call={what} number={int(10 ** draw.uniform(0, 2.2))} error={draw.choice([5, 28])} "
                 f"short={int(what == 'write' and draw.random() < 0.3)} lasting={int(draw.random() < 0.3)} "
                 f"rank={draw.choice([0, 0, 1])} path=/{run.name}/")
        job = FaultyJob(["run", recipe, "--run-dir", run.name], directory, 2, LD_PRELOAD=str(FILE_FAULTS),
                        BALEEN_FILE_FAULT=fault)
        code = job.wait(120)
        text = job.output()
        expect(code in (0, 74), f"{fault}: exit code {code}\n{text}")
        if code == 74:
            expect(f"{run.name}/" in text, f"{fault}: the message names no file\n{text}")
        if (run / "plan.json").exists():
            found = call(["verify", run.name], directory, code=None)
            expect("damaged" not in found and "does not match" not in found, f"{fault}: {found}")
        call(["run", recipe, "--run-dir", run.name], directory, ranks=draw.choice([1, 2, 3]))
        expect_same(run, reference, fault)
        expect_no_repetition(run)
        shutil.rmtree(run)
        return f"{fault}: exit code {code}"

    campaign.run(list(range(campaign.options.count)), trial)
