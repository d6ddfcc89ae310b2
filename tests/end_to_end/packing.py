"""`baleen pack` under mpirun: the same bytes on any number of ranks, after kills, signals and full disks.

Usage: packing.py CASE
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image

from harness import Job, call, expect, main, no_process_left


def write_images(directory, first, last, side=96):
    rng = np.random.default_rng(first)
    folder = directory / "images"
    folder.mkdir(exist_ok=True)
    for i in range(first, last):
        noise = rng.integers(0, 255, (side // 8, side // 8, 3), np.uint8)
        Image.fromarray(noise).resize((side, side)).save(folder / f"{i:05}.jpg", quality=90)
    table = "image,tags\n" + "".join(f"{i:05},all{' third' if i % 3 == 0 else ''}\n" for i in range(last))
    (directory / "tags.csv").write_text(table)


def write_description(directory, **changes):
    keys = {"output": "packed", "source": "csv_tags", "images": "images", "labels_file": "tags.csv",
            "extension": ".jpg", "fit": "squash", "size_px": 64, "shard_samples": 25, "threads": 1,
            "bad_images": "quarantine"}
    keys.update(changes)
    file = directory / "pack.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    return file


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def expect_same(folder, reference, what):
    here = contents(folder)
    expect(here.keys() == reference.keys(), f"{what}: {sorted(here)} instead of {sorted(reference)}")
    different = [name for name in reference if here[name] != reference[name]]
    expect(not different, f"{what}: other bytes in {different}")
    leftovers = [f.name for f in folder.parent.iterdir() if f.name.startswith(folder.name + ".")]
    expect(not leftovers, f"{what}: left behind {leftovers}")


def ranks_agree(directory):
    write_images(directory, 0, 260)
    (directory / "images/00031.jpg").write_bytes(b"no picture")
    description = write_description(directory)
    text = call(["pack", description], directory)
    for word in ("img/s", "MiB/s stored", "processor time", "no JPEG", "third 87", "1 bad images"):
        expect(word in text, f"the summary lacks {word}:\n{text}")
    reference = contents(directory / "packed")
    for ranks in (1, 2, 4):
        shutil.rmtree(directory / "packed")
        text = call(["pack", description], directory, ranks=ranks)
        expect(text.count("packed: 259 samples") == 1, f"one summary, please:\n{text}")
        expect(ranks == 1 or f"over {ranks} processes" in text, text)
        expect_same(directory / "packed", reference, f"{ranks} ranks")
    call(["verify", "packed"], directory)


def bad_images_on_ranks(directory):
    write_images(directory, 0, 120)
    for i in (3, 40, 119):
        (directory / f"images/{i:05}.jpg").write_bytes(b"")
    text = call(["pack", write_description(directory, bad_images="fail")], directory, ranks=3, code=4)
    for word in ("3 of 120 images", "00003.jpg", "00040.jpg", "00119.jpg", "quarantine"):
        expect(text.count(word) >= 1, f"the message lacks {word}:\n{text}")
    expect(text.count("3 of 120 images") == 1, f"one message, please:\n{text}")
    expect(not (directory / "packed").exists(), "half a dataset was left")


def kills(directory):
    random.seed(7)
    write_images(directory, 0, 500, side=384)
    (directory / "images/00400.jpg").write_bytes(b"")
    description = write_description(directory, size_px=192, shard_samples=20, output="reference")
    start = time.monotonic()
    call(["pack", description], directory)
    duration = time.monotonic() - start
    reference = contents(directory / "reference")
    description = write_description(directory, size_px=192, shard_samples=20)
    packed = directory / "packed"
    done = resumed = 0
    while done < 8:
        if packed.exists():
            expect_same(packed, reference, f"after {done} kills")
            shutil.rmtree(packed)
        job = Job(["pack", description], directory, random.choice([None, 2, 3]))
        end = time.monotonic() + random.uniform(0.2, 0.7 * duration)
        while time.monotonic() < end and job.process.poll() is None:
            time.sleep(0.01)
        victims = list(job.ranks().values()) or [job.process.pid]
        if job.process.poll() is not None:
            expect(job.process.returncode == 0, job.output())
            continue
        os.kill(random.choice(victims), signal.SIGKILL)
        job.wait(60)
        no_process_left(victims)
        done += 1
        resumed += len(list(directory.glob("packed.packing/*.done")))
    text = call(["pack", description], directory, ranks=2)
    expect_same(packed, reference, f"after {done} kills")
    expect(resumed > 0, "no start ever found a finished shard: the kills came too early")
    print(f"{done} kills; {resumed} finished shards were kept in all\n{text}")


def signal_and_resume(directory):
    write_images(directory, 0, 600, side=384)
    description = write_description(directory, size_px=768, encoding="jpeg", shard_samples=10)
    for ranks in (None, 3):
        job = Job(["pack", description], directory, ranks)
        deadline = time.monotonic() + 60
        known = len(list(directory.glob("packed.packing/*.done")))
        while len(list(directory.glob("packed.packing/*.done"))) <= known or len(job.ranks()) < (ranks or 0):
            expect(time.monotonic() < deadline and job.process.poll() is None, job.output())
            time.sleep(0.01)
        # One rank alone hears of it, and not the one that coordinates.
        os.kill(job.process.pid if ranks is None else job.ranks()[ranks - 1], signal.SIGTERM)
        code = job.wait(60)
        expect(code == 75, f"exit code {code} instead of 75\n{job.output()}")
        expect("same command" in job.output(), job.output())
        expect(not (directory / "packed").exists(), "half a dataset was left")
    text = call(["pack", description], directory, ranks=2)
    expect("earlier start" in text, text)
    call(["verify", "packed"], directory)


def second_packer(directory):
    write_images(directory, 0, 400, side=384)
    description = write_description(directory, size_px=256)
    job = Job(["pack", description], directory, None)
    deadline = time.monotonic() + 60
    while not (directory / "packed.packing.lock").exists() or not (directory / "packed.packing.lock").read_text():
        expect(time.monotonic() < deadline and job.process.poll() is None, job.output())
        time.sleep(0.01)
    text = call(["pack", description], directory, code=2)
    expect(f"process {job.process.pid} on host" in text, text)
    expect(job.wait(120) == 0, job.output())
    call(["verify", "packed"], directory)


def append(directory):
    write_images(directory, 0, 60)
    call(["pack", write_description(directory)], directory)
    old = contents(directory / "packed")
    write_images(directory, 60, 200)
    call(["pack", write_description(directory)], directory, code=3)
    shutil.copytree(directory / "packed", directory / "copy")
    text = call(["pack", write_description(directory), "--append"], directory)
    expect("200 samples" in text and "140 of them new" in text, text)
    new = contents(directory / "packed")
    expect(all(new[name] == old[name] for name in old if name.startswith("shard")), "old shards were rewritten")
    call(["pack", write_description(directory, output="copy"), "--append"], directory, ranks=3)
    expect_same(directory / "copy", new, "appended by 3 ranks")
    call(["verify", "packed"], directory)
    expect("already complete" in call(["pack", write_description(directory), "--append"], directory), "not idempotent")


def full_disk(directory):
    small = directory / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", small], capture_output=True).returncode != 0:
        print("SKIPPED: mounting a tmpfs needs root")
        sys.exit(77)
    try:
        write_images(directory, 0, 400, side=128)
        description = write_description(directory, output="small/packed", size_px=96)
        for ranks in (None, 2):
            text = call(["pack", description], directory, ranks=ranks, code=74)
            expect("No space left on device" in text and "small/packed" in text, text)
            expect(not (small / "packed").exists(), "half a dataset was left")
        kept = len(list(small.glob("packed.packing/*.done")))
        expect(kept > 0, "finished shards were not kept")
        subprocess.run(["mount", "-o", "remount,size=200m", small], check=True)
        expect("earlier start" in call(["pack", description], directory, ranks=2), "nothing was resumed")
        call(["verify", small / "packed"], directory)
    finally:
        subprocess.run(["umount", "-l", small])


CASES = {f.__name__: f for f in (ranks_agree, bad_images_on_ranks, kills, signal_and_resume, second_packer, append, full_disk)}

main(lambda directory: CASES[sys.argv[1]](directory))
