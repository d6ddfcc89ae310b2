"""What goes wrong on clusters ends with a message that names rank, file and remedy, its exit code, and no process left.

Usage: faults.py CASE
"""

import json
import os
import signal
import subprocess
import sys
import time

import h5py

from harness import (DEEP_NETWORKS, Job, call, environment, expect, expect_same_results, journal, main, make_dataset, no_process_left,
                     result_digests, write_recipe, FAULTY_NETWORK)


# Longer than any test waits.
LONG = [{"size_px": 16, "epochs": 20000, "batch": 24, "optimizer": {"kind": "sgd"}}]


def wait_for_training(run, job, seconds=60):
    """Until some chain has trained an epoch."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(run.glob("chains/*/metrics.jsonl")):
            return
        expect(job.process.poll() is None, f"the job ended early\n{job.output()}")
        time.sleep(0.05)
    expect(False, f"no training within {seconds} s\n{job.output()}")


def mentions(text, *words):
    missing = [word for word in words if word not in text]
    expect(not missing, f"the message lacks {missing}:\n{text}")


def configuration(directory):
    recipe = directory / "recipe.yaml"
    recipe.write_text(
        "name: wrong\ndatasett: data\nfolds: {count: 1}\nbackbones: [{name: resnet81}]\n"
        "stages:\n  - {size_px: large, epochs: 1, batch: 8, optimizer: {kind: sdg}}\n")
    for ranks in (None, 2):
        text = call(["run", recipe], directory, ranks=ranks, code=3)
        for place in ("recipe.yaml:2:1", "recipe.yaml:3:", "recipe.yaml:4:", "recipe.yaml:6:"):
            mentions(text, place)
        mentions(text, "datasett", "dataset", "count", "resnet18", "size_px", "sgd")
    expect(not (directory / "runs").exists(), "a run directory was made")


def named_after(run, sent):
    """Seconds from the fault to its record in failure.json."""
    seconds = json.loads((run / "failure.json").read_text())["root_cause"]["time"] - sent
    expect(seconds > 0, "failure.json is of another time")
    return seconds


def stopped_rank(directory):
    recipe = write_recipe(directory, stages=LONG, reliability={"hang_timeout_s": 4})
    job = Job(["run", recipe], directory, ranks=3)
    wait_for_training(directory / "run", job)
    victims = job.ranks()
    sent = time.time()
    os.kill(victims[1], signal.SIGSTOP)
    code = job.wait(60)
    expect(code == 86, f"exit code {code} instead of 86\n{job.output()}")
    mentions(job.output(), "rank 1", "nothing was heard", "hint")
    no_process_left(victims.values())
    mentions((directory / "run/failure.json").read_text(), "hang", "rank 1")
    named = named_after(directory / "run", sent)
    expect(named <= 4 + 5, f"it was named after {named:.1f} s")
    print(f"a stopped rank was named after {named:.1f} s, all were gone after {time.time() - sent:.1f} s")


def killed_rank(directory):
    recipe = write_recipe(directory, stages=LONG)
    job = Job(["run", recipe], directory, ranks=3)
    wait_for_training(directory / "run", job)
    time.sleep(2)  # until neighbours have heard of each other
    victims = job.ranks()
    sent = time.time()
    os.kill(victims[2], signal.SIGKILL)
    expect(job.wait(60) != 0, job.output())
    no_process_left(victims.values())
    gone = time.time() - sent
    named = named_after(directory / "run", sent)
    expect(named <= 5 and gone <= 5, f"it was named after {named:.1f} s, all were gone after {gone:.1f} s")
    print(f"a killed rank was named after {named:.1f} s, all were gone after {gone:.1f} s")
    mentions((directory / "run/failure.json").read_text(), "communication", "rank 2 on host", f"process {victims[2]}",
             "last seen at: ", "The others: rank")


def second_signal(directory):
    """Whoever does not want to wait for the checkpoint signals again."""
    recipe = write_recipe(directory, plugins=[FAULTY_NETWORK], backbones=[{"name": "faulty"}])
    os.environ["BALEEN_FAULTY"] = "what=pause rank=0 after=4 seconds=60"
    job = Job(["run", recipe], directory, ranks=1)
    deadline = time.monotonic() + 60
    while not (directory / "run/status.json").exists():
        expect(job.process.poll() is None and time.monotonic() < deadline, job.output())
        time.sleep(0.02)
    time.sleep(3)  # the fourth step has begun
    victim = job.ranks()[0]
    os.kill(victim, signal.SIGTERM)
    time.sleep(1)
    expect(job.process.poll() is None, f"the step of a minute was not waited for\n{job.output()}")
    os.kill(victim, signal.SIGTERM)
    start = time.monotonic()
    code = job.wait(30)
    expect(code not in (0, 75), f"exit code {code}")
    expect(time.monotonic() - start < 10, "the second signal did not end it at once")
    del os.environ["BALEEN_FAULTY"]
    call(["run", recipe, "--resume", "must"], directory, ranks=1)


def flipped_byte(directory):
    shard = sorted((directory / "data").glob("*.h5"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # among the pixels, which fill most of the file
    shard.write_bytes(content)
    recipe = write_recipe(directory)
    text = call(["run", recipe], directory, ranks=2, code=4)
    mentions(text, shard.name, "rank")
    found = call(["verify", "data"], directory, code=1)
    mentions(found, shard.name)
    # On a group of two ranks only one of them reads it: the chain fails, not the job.
    recipe = write_recipe(directory, backbones=[{"name": "conv4", "min_ranks": 2}])
    text = call(["run", recipe, "--run-dir", "groups"], directory, ranks=2, code=4)
    mentions(text, shard.name)
    failed = {record["chain"] for record in journal(directory / "groups") if record["type"] == "chain_failed"}
    expect(len(failed) == 2, f"not both chains were tried: {failed}\n{text}")


def truncated_image(directory):
    images = directory / "images/class"
    images.mkdir(parents=True)
    from PIL import Image
    for i in range(3):
        Image.new("RGB", (40, 40), (i * 40, 10, 10)).save(images / f"{i}.jpg")
    whole = (images / "1.jpg").read_bytes()
    (images / "1.jpg").write_bytes(whole[: len(whole) // 2])
    description = directory / "pack.yaml"
    description.write_text("output: packed\nsource: folders\nimages: images\nfit: squash\nsize_px: 32\n")
    text = call(["pack", description], directory, code=4)
    mentions(text, "1.jpg", "hint")
    expect(not (directory / "packed").exists(), "half a dataset was left")
    call(["pack", description, "--set", "bad_images=quarantine"], directory)
    mentions((directory / "packed/quarantine.csv").read_text(), "1.jpg")


def full_disk(directory):
    small = directory / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", small], capture_output=True)
    if mounted.returncode != 0:
        print("SKIPPED: mounting a tmpfs needs root")
        sys.exit(77)
    try:
        recipe = write_recipe(directory, training__keep_best=False, **DEEP_NETWORKS)
        text = call(["run", recipe, "--run-dir", small / "run"], directory, ranks=2, code=74)
        mentions(text, "small/run", "No space left on device", "rank")
        # What was written before is whole.
        verified = call(["verify", small / "run"], directory, code=None)
        expect("damaged" not in verified and "digest" not in verified.lower().replace("digests", ""), verified)
        subprocess.run(["mount", "-o", "remount,size=2g", small], check=True)
        call(["run", recipe, "--run-dir", small / "run"], directory, ranks=2)
    finally:
        subprocess.run(["umount", "-l", small])


def signal_and_resume(directory):
    """Each signal that asks for the end, to one rank alone: saved, 75, and a resume comes to the end."""
    recipe = write_recipe(directory, stages__0__epochs=10)
    for number, rank in ((signal.SIGTERM, 0), (signal.SIGUSR1, 1), (signal.SIGUSR2, 1), (signal.SIGINT, 0)):
        run = directory / number.name
        job = Job(["run", recipe, "--run-dir", run.name], directory, ranks=2)
        wait_for_training(run, job)
        victims = job.ranks()
        os.kill(victims[rank], number)
        code = job.wait(60)
        expect(code == 75, f"{number.name} to rank {rank}: exit code {code} instead of 75\n{job.output()}")
        no_process_left(victims.values())
        expect(journal(run)[-1].get("exit_code") == 75, "the journal does not say that it was interrupted")
        call(["run", recipe, "--run-dir", run.name, "--resume", "must"], directory, ranks=1)


def damaged_checkpoint(directory):
    """Where the newest checkpoint is damaged, all ranks of a chain go on from the one before, to the same bytes."""
    recipe = write_recipe(directory, stages__0__epochs=15)
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)
    run = directory / "run"
    job = Job(["run", recipe], directory, ranks=2)
    deadline = time.monotonic() + 60
    while not any(run.glob("chains/*/checkpoint-*.json")):
        expect(job.process.poll() is None and time.monotonic() < deadline, f"no checkpoint was written\n{job.output()}")
        time.sleep(0.02)
    os.kill(job.ranks()[0], signal.SIGTERM)
    code = job.wait(60)
    expect(code == 75, f"exit code {code} instead of 75\n{job.output()}")
    finished = {record["chain"] for record in journal(run) if record["type"] == "chain_finished"}
    damaged = 0
    for folder in (run / "chains").iterdir():
        records = sorted(folder.glob("checkpoint-*.json"))
        if folder.name in finished or not records:
            continue
        tensors = folder / json.loads(records[-1].read_text())["tensors"]
        content = bytearray(tensors.read_bytes())
        content[len(content) // 2] ^= 1
        tensors.write_bytes(content)
        damaged += 1
    expect(damaged > 0, "no chain was under way")
    text = call(["run", recipe, "--resume", "must"], directory, ranks=4)  # two ranks for each chain
    told = text.count("is damaged and is passed over")
    expect(told == damaged, f"{damaged} damaged checkpoints, {told} warnings: one rank of each chain decides\n{text}")
    expect_same_results(run, result_digests(directory / "reference"), "after damaged checkpoints")


def chain_set_aside(directory):
    """What is complete is gathered and stacked without the network that lacks a fold; the same command completes it."""
    stage = {"size_px": 16, "epochs": 1, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}}
    networks = [{"name": "conv4"}, {"name": "faulty", "priority": -1}]  # the faulty one's chains come last
    recipe = write_recipe(directory, plugins=[FAULTY_NETWORK], backbones=networks, stages=[stage])
    call(["run", recipe, "--run-dir", "reference"], directory, ranks=2)

    os.environ["BALEEN_FAULTY"] = "what=fail network=2"
    run = directory / "run"
    text = call(["run", recipe], directory, ranks=1, code=4)
    records = journal(run)
    failed = {record["chain"] for record in records if record["type"] == "chain_failed" and record["set_aside"]}
    finished = {record["chain"] for record in records if record["type"] == "chain_finished"}
    expect(len(failed) == 1 and len(finished) == 3, f"failed: {failed}, finished: {finished}\n{text}")
    chain = failed.pop()
    left_out = f"faulty is left out: {chain} is not finished"
    mentions(text, left_out, "fails as it was told", "conv4")
    with h5py.File(run / "oof.h5") as oof, h5py.File(directory / "reference/oof.h5") as whole:
        expect(oof["oof"].shape[0] == 1, f"oof.h5 holds {oof['oof'].shape}")
        expect((oof["oof"][0] == whole["oof"][0]).all(), "other predictions than those of the whole run")
    stack = json.loads((run / "stack/stack.json").read_text())
    expect((stack["models"], stack["dropped_models"]) == (["conv4"], ["faulty"]), f"{stack}")
    mentions((run / "stack/scores.txt").read_text(), left_out)
    mentions((run / "report.html").read_text(), left_out, "fails as it was told")
    mentions((run / "failure.json").read_text(), chain, "fails as it was told")
    call(["verify", "run"], directory)

    # The same again: the chain is tried anew, and what is complete stays the same.
    before = (run / "oof.h5").read_bytes()
    os.environ["BALEEN_FAULTY"] = "what=fail"
    call(["run", recipe], directory, ranks=1, code=4)
    expect((run / "oof.h5").read_bytes() == before, "oof.h5 changed though no other chain was finished")
    call(["verify", "run"], directory)

    # Where a stack without all networks is not wanted, the rest is there all the same; where none is complete, nothing.
    text = call(["run", recipe, "--run-dir", "refused", "--set", "stacking.missing_models=refuse"], directory, ranks=1, code=4)
    mentions(text, "there is no stack", "faulty is left out")
    expect((directory / "refused/oof.h5").exists() and not (directory / "refused/stack/stack.json").exists(), text)
    only_faulty = write_recipe(directory / "reference", plugins=[FAULTY_NETWORK], backbones=networks[1:], stages=[stage])
    text = call(["run", only_faulty, "--run-dir", "none"], directory, ranks=1, code=4)
    mentions(text, "no network has all its folds: nothing is gathered")
    expect(not (directory / "none/oof.h5").exists(), text)

    del os.environ["BALEEN_FAULTY"]
    call(["run", recipe, "--resume", "must"], directory, ranks=2)
    expect_same_results(run, result_digests(directory / "reference"), "after the chain was tried again")
    for name in ("stack/stack.json", "stack/scores.txt", "stack/oof.csv", "stack/test.csv", "oof.csv", "test.csv"):
        expect((run / name).read_bytes() == (directory / "reference" / name).read_bytes(), f"{name} is not that of the whole run")
    expect("is left out" not in (run / "report.html").read_text(), "the report still has a network left out")
    call(["verify", "run"], directory)


def second_job(directory):
    recipe = write_recipe(directory, stages=LONG)
    job = Job(["run", recipe], directory, ranks=1)
    wait_for_training(directory / "run", job)
    text = call(["run", recipe], directory, ranks=1, code=2)
    mentions(text, "run", str(list(job.ranks().values())[0]))
    # Whoever waits is refused when the time is over, and told of it before; once the holder is gone, it is let in.
    mentions(call(["run", recipe, "--wait", "2"], directory, ranks=1, code=2), "waiting for at most 2 s", "is in use by")
    waiting = Job(["run", recipe, "--wait", "60"], directory, ranks=1)
    time.sleep(2)
    expect(waiting.process.poll() is None, f"it did not wait\n{waiting.output()}")
    job.kill_all()
    deadline = time.monotonic() + 60
    while (directory / "run/journal.jsonl").read_text(errors="replace").count('"run_started"') < 2:
        expect(waiting.process.poll() is None and time.monotonic() < deadline, f"it was not let in\n{waiting.output()}")
        time.sleep(0.1)
    waiting.kill_all()


CASES = {f.__name__: f for f in (configuration, stopped_rank, killed_rank, second_signal, flipped_byte, truncated_image,
                                 full_disk, signal_and_resume, damaged_checkpoint, chain_set_aside, second_job)}


def test(directory):
    make_dataset(directory)
    make_dataset(directory, "test", samples=60, seed=1)
    CASES[sys.argv[1]](directory)


main(test)
