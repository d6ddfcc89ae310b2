#!/usr/bin/env python3
"""Images per second of other loaders on the same chips, as one JSON line. See compare_loader.py.

    other_loaders.py prepare CHIPS WORK          writes WORK/raw.beton, WORK/jpeg.beton and WORK/chips/<name>.jpg
    other_loaders.py NAME WORK --threads 1 --seconds 2 --out bytes|float

NAME: ffcv_raw, ffcv_jpeg, dali, torchvision, turbojpeg (whole images, decoded and thrown away).
All crop as random-resized crops to 224 px with area 0.08 to 1 and flip every second image.
"""

import argparse
import ctypes
import ctypes.util
import json
import pathlib
import resource
import threading
import time

import numpy as np

SIZE = 224
MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])


def cpu_seconds():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def workers_cpu_seconds():
    """Of child processes that still run, which getrusage does not count yet."""
    import psutil

    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def measure(epoch, seconds):
    """`epoch` yields numbers of images. The first one warms up: compilers, caches, checks."""
    for _ in epoch():
        pass
    start, cpu, images = time.perf_counter(), cpu_seconds() + workers_cpu_seconds(), 0
    wall = 0
    while wall < seconds:
        for number in epoch():
            images += number
            wall = time.perf_counter() - start
            if wall >= seconds:
                break
    used = cpu_seconds() + workers_cpu_seconds() - cpu
    return {"images": images, "per_second": images / wall, "per_cpu_second": images / used}


def prepare(chips, work):
    """The chips as RGB, 256 px; JPEGs of quality 95 with full-resolution rows, the same bytes for every loader."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter
    from PIL import Image

    work.mkdir(parents=True, exist_ok=True)
    (work / "chips").mkdir(exist_ok=True)
    (work / "labels.csv").write_text("image,id\n")
    arrays = []
    with open(work / "labels.csv", "a") as table:
        for number, file in enumerate(sorted(chips.glob("*.jpg"))):
            image = Image.open(file).convert("RGB")
            assert image.size == (256, 256), file
            image.save(work / "chips" / file.name, quality=95)
            table.write(f"{file.name},{number % 2}\n")
            arrays.append(np.array(Image.open(work / "chips" / file.name)))

    class Chips:
        def __len__(self):
            return len(arrays)

        def __getitem__(self, index):
            return arrays[index], index % 2

    for mode in ("raw", "jpg"):
        fields = {"image": RGBImageField(write_mode=mode, jpeg_quality=95), "label": IntField()}
        writer = DatasetWriter(str(work / f"{'raw' if mode == 'raw' else 'jpeg'}.beton"), fields, num_workers=1)
        writer.from_indexed_dataset(Chips())


def ffcv(options, file):
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage

    pipeline = [RandomResizedCropRGBImageDecoder((SIZE, SIZE), scale=(0.08, 1.0)), RandomHorizontalFlip(0.5)]
    if options.out == "float":
        pipeline += [NormalizeImage(MEAN * 255, STD * 255, np.float32), ToTensor(), ToTorchImage(convert_back_int16=False)]
    else:
        pipeline += [ToTensor(), ToTorchImage()]
    loader = Loader(
        str(file), batch_size=options.batch, num_workers=options.threads, os_cache=True, order=OrderOption.RANDOM, drop_last=True,
        pipelines={"image": pipeline, "label": [IntDecoder(), ToTensor()]},
    )

    def epoch():
        for images, _ in loader:
            yield images.shape[0]

    return measure(epoch, options.seconds)


def dali(options, work):
    from nvidia.dali import fn, pipeline_def, types

    names = [str(file) for file in sorted((work / "chips").glob("*.jpg"))]

    @pipeline_def(batch_size=options.batch, num_threads=options.threads, device_id=None)
    def pipeline():
        files, _ = fn.readers.file(files=names, labels=[0] * len(names), random_shuffle=True, name="chips")
        images = fn.decoders.image_random_crop(files, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3])
        images = fn.resize(images, resize_x=SIZE, resize_y=SIZE, interp_type=types.INTERP_LINEAR)
        mirror = fn.random.coin_flip()
        if options.out == "float":
            return fn.crop_mirror_normalize(images, mirror=mirror, mean=list(MEAN * 255), std=list(STD * 255), output_layout="CHW")
        return fn.flip(images, horizontal=mirror)

    pipe = pipeline()
    pipe.build()

    def epoch():
        for _ in range(len(names) // options.batch):
            (images,) = pipe.run()
            yield len(images)

    return measure(epoch, options.seconds)


def torchvision(options, work):
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    steps = [v2.RandomResizedCrop(SIZE, scale=(0.08, 1.0), antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    if options.out == "float":
        steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN.tolist(), STD.tolist())]
    transform = v2.Compose(steps)
    names = sorted((work / "chips").glob("*.jpg"))
    torch.set_num_threads(1)

    class Chips(torch.utils.data.Dataset):
        def __len__(self):
            return len(names)

        def __getitem__(self, index):
            return transform(Image.open(names[index]).convert("RGB"))

    loader = torch.utils.data.DataLoader(
        Chips(), options.batch, shuffle=True, num_workers=options.threads, drop_last=True, persistent_workers=True
    )

    def epoch():
        for images in loader:
            yield images.shape[0]

    return measure(epoch, options.seconds)


def turbojpeg(options, work):
    """libjpeg-turbo's own interface, whole images to RGB with its accurate transform."""
    library = ctypes.CDLL(ctypes.util.find_library("turbojpeg"))
    library.tjInitDecompress.restype = ctypes.c_void_p
    library.tjDecompress2.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int
    ]
    files = [file.read_bytes() for file in sorted((work / "chips").glob("*.jpg"))]
    accurate = 4096

    def decode_all():
        handle = library.tjInitDecompress()
        out = ctypes.create_string_buffer(256 * 256 * 3)
        for data in files:
            assert library.tjDecompress2(handle, data, len(data), out, 256, 0, 256, 0, accurate) == 0
        library.tjDestroy(ctypes.c_void_p(handle))

    def epoch():
        threads = [threading.Thread(target=decode_all) for _ in range(options.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield len(files) * options.threads

    return measure(epoch, options.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("prepare", "ffcv_raw", "ffcv_jpeg", "dali", "torchvision", "turbojpeg"))
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--out", choices=("bytes", "float"), default="bytes")
    options = parser.parse_args()
    if options.name == "prepare":
        prepare(*options.folders)
        return
    work = options.folders[0]
    runs = {
        "ffcv_raw": lambda: ffcv(options, work / "raw.beton"),
        "ffcv_jpeg": lambda: ffcv(options, work / "jpeg.beton"),
        "dali": lambda: dali(options, work),
        "torchvision": lambda: torchvision(options, work),
        "turbojpeg": lambda: turbojpeg(options, work),
    }
    print(json.dumps(runs[options.name]()), flush=True)


if __name__ == "__main__":
    main()
