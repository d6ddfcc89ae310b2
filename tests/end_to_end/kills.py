"""A run that is killed again and again, and resumed on another number of ranks each time, ends with the same bytes.

Usage: kills.py NUMBER_OF_KILLS [SEED]. A kill is SIGKILL to one rank, to all ranks, or to mpirun, at a random instant.
"""

import os
import random
import shutil
import signal
import sys
import time

from harness import (DEEP_NETWORKS, Job, call, expect, expect_same_results, journal, main, make_dataset, no_process_left, result_digests,
                     write_recipe)


def hurt(job, victims, how):
    if how == "one rank":
        os.kill(random.choice(victims), signal.SIGKILL)
    elif how == "all ranks":
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    else:
        os.kill(job.process.pid, signal.SIGKILL)


def finished_chains(run):
    if not (run / "journal.jsonl").exists():
        return []
    return [r["chain"] for r in journal_lines(run) if r["type"] == "chain_finished"]


def journal_lines(run):
    try:
        return journal(run)
    except ValueError:  # a torn last line, right after a kill
        return []


def test(directory):
    kills = int(sys.argv[1])
    random.seed(int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    make_dataset(directory)
    make_dataset(directory, "test", samples=60, seed=1)
    recipe = write_recipe(directory, **DEEP_NETWORKS)
    start = time.monotonic()
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    duration = time.monotonic() - start
    reference = result_digests(directory / "reference")

    run = directory / "killed"
    done = 0
    rounds = 0
    while done < kills:
        rounds += 1
        if run.exists() and any(r["type"] == "run_finished" for r in journal_lines(run)):
            expect_same_results(run, reference, f"after {done} kills")
            shutil.rmtree(run)  # complete before the last kill: begin again
        ranks = random.choice([1, 2, 3, 4])
        job = Job(["run", recipe, "--run-dir", "killed"], directory, ranks)
        # Short lives, so that most kills fall into the middle of a chain.
        life = random.uniform(0.3, max(2.0, 0.6 * duration))
        deadline = time.monotonic() + life
        while time.monotonic() < deadline and job.process.poll() is None:
            time.sleep(0.02)
        victims = list(job.ranks().values())
        if job.process.poll() is not None or not victims:
            job.wait(60)
            continue
        how = random.choice(["one rank", "all ranks", "mpirun"])
        hurt(job, victims, how)
        job.wait(60)
        no_process_left(victims)
        done += 1
        print(f"kill {done}: {how} of {ranks} ranks after {life:.1f} s; finished so far: {len(finished_chains(run))}",
              flush=True)
    call(["run", recipe, "--run-dir", "killed"], directory, ranks=2)
    expect_same_results(run, reference, f"after {done} kills")
    finished = finished_chains(run)
    expect(len(finished) == len(set(finished)), f"a chain was finished twice: {finished}")
    seen = set()
    for record in journal(run):
        if record["type"] == "chain_finished":
            seen.add(record["chain"])
        expect(not (record["type"] == "chain_assigned" and record["chain"] in seen),
               f"{record.get('chain')} was trained again after it had finished")
    print(f"{done} kills in {rounds} starts")


main(test)
