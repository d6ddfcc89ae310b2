"""A signal while a dataset is packed: finished shards are kept, the same line goes on."""

import shutil
import time

import numpy as np
from PIL import Image

from interruptions import wait_and_look, within_a_step
from trials import Job, OtherLoad, call, expect, no_process_left, send

KEYS = {"source": "csv_tags", "images": "pack-images", "labels_file": "pack-tags.csv", "extension": ".jpg", "fit": "squash",
        "size_px": 512, "encoding": "jpeg", "shard_samples": 8, "threads": 1}


def describe(directory, output):
    file = directory / f"{output}.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in {**KEYS, "output": output}.items()))
    return file


def images(directory):
    if (directory / "pack-images").exists():
        return
    (directory / "pack-images").mkdir()
    rng = np.random.default_rng(9)
    for i in range(240):
        noise = rng.integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(noise).resize((384, 384)).save(directory / "pack-images" / f"{i:04}.jpg", quality=90)
    (directory / "pack-tags.csv").write_text("image,tags\n" + "".join(f"{i:04},all\n" for i in range(240)))
    call(["pack", describe(directory, "packed-reference")], directory)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def interrupt(directory, number, draw, trial, campaign):
    images(directory)
    description = describe(directory, f"packed-{trial}")
    packed = directory / f"packed-{trial}"
    ranks = draw.choice([None, 2, 3])
    for _ in range(5):
        job = Job(["pack", description], directory, ranks)
        some = draw.randint(1, 4)
        while job.process.poll() is None and (len(list(directory.glob(f"packed-{trial}.packing/*.done"))) < some or
                                              len(job.ranks()) < (ranks or 0)):
            time.sleep(0.005)
        victims = list(job.ranks().values()) if ranks else [job.process.pid]
        if job.process.poll() is None and victims:
            load = OtherLoad([job.process.pid, *victims])
            send([draw.choice(victims)], number)
            code, taken = wait_and_look(campaign, job, load, victims)
            if code == 75:
                break
            expect(code == 0, f"{number.name} while packing: exit code {code} instead of 75\n{job.output()}")
        shutil.rmtree(packed, ignore_errors=True)
    else:
        expect(False, "packing was always over before the signal came")
    within_a_step(campaign, taken, 0, load)
    no_process_left(victims)
    call(["pack", description], directory, ranks=draw.choice([None, 2]))
    expect(contents(packed) == contents(directory / "packed-reference"), f"{number.name} while packing: other bytes")
    shutil.rmtree(packed)
    return f"{number.name} to one of {ranks or 1} while packing"
