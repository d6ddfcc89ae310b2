"""Campaigns about what a run notices: stopped, killed and slow ranks, weights that differ, losses that are not finite."""

import json
import re
import shutil
import signal
import time

import harness
from trials import (FAULTY, FaultyJob, Job, call, expect, expect_no_repetition, expect_same, no_process_left, outcome, records,
                    send, wait_for_phase, wait_for_start)


def recipe_of(directory, **changes):
    """Two chains of the network that misbehaves, on groups of two ranks."""
    file = harness.write_recipe(directory, training__logical_shards=2)
    recipe = json.loads(file.read_text())
    recipe.update(backbones=[{"name": "faulty", "min_ranks": 2}], plugins=[str(FAULTY)],
                  stages=[{"size_px": 16, "epochs": 40, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}}])
    harness.change(recipe, changes)
    file.write_text(json.dumps(recipe, indent=1))
    return file


def prepare(directory):
    harness.make_dataset(directory)
    harness.make_dataset(directory, "test", samples=60, seed=1)


def notices(run, what):
    return [r for r in records(run) if r["type"] == "notice" and r["what"] == what]


def failure_of(run):
    return json.loads((run / "failure.json").read_text())


def stops(directory, campaign):
    """A rank is stopped, and another time killed: named with host, work and what the others wait for; a resume goes on."""
    prepare(directory)
    recipe = recipe_of(directory)
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    reference = outcome(directory / "reference")

    def trial(number):
        draw = campaign.random(number)
        told = []
        for how in (signal.SIGSTOP, signal.SIGKILL):
            run = directory / f"{how.name}-{number}"
            ranks = draw.choice([2, 3, 4])
            since = time.time()
            job = Job(["run", recipe, "--run-dir", run.name], directory, ranks)
            phase = draw.choice(["start", "train", "validate"])
            reached = wait_for_start(run, job, since) if phase == "start" else wait_for_phase(run, job, phase, since)
            expect(reached, f"it ended\n{job.output()}")
            if phase != "start":
                time.sleep(draw.uniform(0, 0.3))
            victims = job.ranks()
            rank = draw.choice(sorted(victims))
            sent = time.time()
            send([victims[rank]], how)
            code = job.wait(60)
            no_process_left(victims.values())
            taken = time.time() - sent
            text = job.output()
            if how == signal.SIGSTOP:
                expect(code == 86, f"rank {rank} of {ranks} was stopped: exit code {code} instead of 86\n{text}")
                campaign.within("seconds until all were gone after a stop", taken, 20)
            else:
                expect(code != 0, f"rank {rank} of {ranks} was killed: exit code 0\n{text}")
                campaign.within("seconds until all were gone after a kill", taken, 5)
            expect((run / "failure.json").exists(), f"{how.name} to rank {rank} of {ranks}: no failure.json\n{text}")
            cause = failure_of(run)["root_cause"]
            expect(f"rank {rank} on host" in cause["message"] and "last seen at: " in cause["message"]
                   and "The others: " in cause["message"], f"rank {rank} is not named: {cause}\n{text}")
            named = cause["time"] - sent
            expect(named > 0, f"failure.json is of another time: {cause}")
            campaign.within(f"seconds until a {'stopped' if how == signal.SIGSTOP else 'killed'} rank was named", named, 15)
            call(["run", recipe, "--run-dir", run.name, "--resume", "must"], directory, ranks=draw.choice([1, 2, 3]))
            expect_same(run, reference, f"after {how.name} to rank {rank}")
            expect_no_repetition(run)
            shutil.rmtree(run)
            told.append(f"{how.name} to rank {rank} of {ranks} in {phase}: named after {named:.1f} s, all gone after {taken:.1f} s")
        return "; ".join(told)

    campaign.run(list(range(campaign.options.count)), trial)


def step_seconds(run):
    """What a step usually takes, from the epochs' throughput."""
    rates = [r["samples_per_s"] for f in sorted(run.glob("chains/*/metrics.jsonl"))
             for r in map(json.loads, f.read_text().splitlines())]
    return 24 / sorted(rates)[len(rates) // 2]


def slow(directory, campaign):
    """A rank becomes slower than its peers: told within 50 steps, in journal, log and status; nothing is stopped or changed."""
    prepare(directory)
    recipe = recipe_of(directory)
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=4)
    reference = outcome(directory / "reference")
    usual = step_seconds(directory / "reference")
    steps_per_epoch = 120 // 24

    def trial(number):
        draw = campaign.random(number)
        run = directory / f"slow-{number}"
        rank = draw.randrange(4)
        after = draw.randint(45, 90)
        # Its own part is about half of a step of two ranks on shared processors: three times as slow at least.
        job = FaultyJob(["run", recipe, "--run-dir", run.name], directory, 4,
                        BALEEN_FAULTY=f"what=slow rank={rank} after={after} seconds={max(0.02, 2 * usual):.4f}")
        expect(job.wait(300) == 0, f"exit code {job.process.returncode}\n{job.output()}")
        found = notices(run, "slow_rank")
        expect([n["rank"] for n in found] == [rank], f"rank {rank} is slow from step {after} on; told were {found}")
        place = re.search(r"epoch (\d+), step (\d+)", found[0]["message"])
        step = int(place[1]) * steps_per_epoch + int(place[2])
        campaign.note("steps until a slow rank was told", step - after)
        expect(after < step <= after + 50, f"slow from step {after} on, told at step {step}")
        expect(f"rank {rank} on host" in job.output() and "times slower" in job.output(), job.output())
        expect_same(run, reference, "with a slow rank")
        shutil.rmtree(run)
        return f"rank {rank} slow from step {after}, told at {step}: {found[0]['message'][:60]}..."

    campaign.run(list(range(campaign.options.count)), trial)


def divergence(directory, campaign):
    """One ulp on one rank ends the run at the next comparison, with exit code 88; a resume ends with the right bytes."""
    prepare(directory)
    every = 10
    recipe = recipe_of(directory, reliability__digest_every_steps=every, training__checkpoint_every_steps=7,
                       stages=[{"size_px": 16, "epochs": 12, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}}])
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    reference = outcome(directory / "reference")
    steps_per_epoch = 120 // 24

    def trial(number):
        draw = campaign.random(number)
        run = directory / f"diverged-{number}"
        ranks = 2
        rank = draw.randrange(2)
        after = draw.randint(8, 45)
        job = FaultyJob(["run", recipe, "--run-dir", run.name], directory, ranks,
                        BALEEN_FAULTY=f"what=diverge rank={rank} after={after}")
        code = job.wait(120)
        text = job.output()
        expect(code == 88, f"exit code {code} instead of 88\n{text}")
        cause = failure_of(run)["root_cause"]
        for word in (f"rank {rank} on host", "conv2.weight", "hold different bits"):
            expect(word in cause["message"], f"'{word}' is missing: {cause['message']}")
        step = int(re.search(r"\(step (\d+) of the chain", cause["message"])[1])
        due = min(-(-after // every) * every, -(-after // steps_per_epoch) * steps_per_epoch)
        expect(step == due, f"one ulp at step {after}, seen at step {step} instead of {due}")
        call(["run", recipe, "--run-dir", run.name], directory, ranks=draw.choice([1, 2]))
        expect_same(run, reference, "after a divergence")
        expect_no_repetition(run)
        shutil.rmtree(run)
        return f"one ulp on rank {rank} in step {after}, seen after step {step}"

    campaign.run(list(range(campaign.options.count)), trial)


def roll_backs(directory, campaign):
    """A learning rate that makes losses overflow is lowered until they do not; interrupted or not, on any number of ranks."""
    prepare(directory)
    recipe = recipe_of(directory, training__on_nonfinite="roll_back", training__roll_back_factor=1e-6,
                       training__checkpoint_every_steps=2,
                       stages=[{"size_px": 16, "epochs": 6, "batch": 24, "optimizer": {"kind": "sgd", "lr": 1e5}}])
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=1)
    reference = outcome(directory / "reference")
    expect(len(notices(directory / "reference", "rolled_back")) >= 2, "nothing was rolled back")

    def trial(number):
        draw = campaign.random(number)
        run = directory / f"rolled-{number}"
        told = []
        for _ in range(2):
            since = time.time()
            job = Job(["run", recipe, "--run-dir", run.name], directory, draw.choice([1, 2, 4]))
            if wait_for_phase(run, job, "train", since):
                time.sleep(draw.uniform(0, 0.2))
            how = draw.choice([signal.SIGTERM, signal.SIGKILL])
            victims = job.ranks()
            send(victims.values(), how)
            job.wait(60)
            no_process_left(victims.values())
            told.append(how.name)
        call(["run", recipe, "--run-dir", run.name], directory, ranks=draw.choice([1, 2, 4]))
        expect_same(run, reference, f"rolled back, after {told}")
        expect(notices(run, "rolled_back"), "the journal tells of no roll-back")
        shutil.rmtree(run)
        return f"the same bytes after {' and '.join(told)}"

    campaign.run(list(range(campaign.options.count)), trial)


def false_alarms(directory, campaign):
    """A long run with one step of a minute: nothing is told, nothing ends."""
    prepare(directory)
    seconds = campaign.options.minutes * 60
    # Two chains side by side, each of `epochs` of five steps; most of a step is sleep, of a length that varies as steps do.
    sleep = 0.3
    epochs = max(20, int((seconds - 60) / (sleep * 5 * 1.15)))
    recipe = recipe_of(directory, stages=[{"size_px": 16, "epochs": epochs, "batch": 24,
                                           "optimizer": {"kind": "sgd", "lr": 0.02}}])

    def trial(number):
        draw = campaign.random(number)
        run = directory / f"long-{number}"
        start = time.monotonic()
        after = draw.randint(100, max(101, min(400, epochs * 5 - 20)))
        job = FaultyJob(["run", recipe, "--run-dir", run.name], directory, 4,
                        BALEEN_FAULTY=f"what=slow seconds={sleep} vary=0.3; "
                                      f"what=pause rank={draw.randrange(4)} after={after} seconds=60")
        expect(job.wait(6 * seconds + 600) == 0, f"exit code {job.process.returncode}\n{job.output()[-4000:]}")
        told = [r for r in records(run) if r["type"] == "notice"]
        expect(not told, f"told without reason: {told}")
        expect(not (run / "failure.json").exists(), "there is a failure.json")
        minutes = (time.monotonic() - start) / 60
        campaign.note("minutes without an alarm", minutes)
        steps = epochs * 5 * 2
        return f"{minutes:.1f} minutes, {steps} steps on 4 ranks, one of them of 60 s: no alarm"

    campaign.run([0], trial)
