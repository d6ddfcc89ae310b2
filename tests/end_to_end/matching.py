"""`baleen match`: features are those of torchvision on any number of ranks, answers and page come out, bad input is named."""

import csv

import h5py
import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage

from harness import call, expect, main, make_dataset

SIZE_PX = 16


def write_weights(directory):
    torch.manual_seed(3)
    network = torchvision.models.resnet18(num_classes=4).eval()
    network.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    metadata = {"format": "pt", "backbone": "resnet18", "head": "linear", "auxiliary": "false", "coordinates": "false",
                "num_outputs": "4", "in_channels": "1", "targets": "classes", "labels": '["0", "1", "2", "3"]',
                "size_px": str(SIZE_PX), "fit": "stretch", "mean": "[0.5]", "std": "[0.5]"}
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, directory / "w.safetensors", metadata)
    diverged = {**network.state_dict(), "layer4.1.bn2.bias": torch.full((512,), float("nan"))}
    save_file({name: value.contiguous() for name, value in diverged.items()}, directory / "diverged.safetensors", metadata)
    network.fc = torch.nn.Identity()
    return network


def pixels_of(directory, name, count):
    raw = (directory / f"{name}-images-idx3-ubyte").read_bytes()[16:]
    return np.frombuffer(raw, np.uint8).reshape(count, 1, SIZE_PX, SIZE_PX)


def features_are_torchvisions(directory, network):
    for name, count in (("gallery", 120), ("queries", 40)):
        images = torch.from_numpy(pixels_of(directory, name, count).astype(np.float32)) / 255
        with torch.no_grad():
            expected = network((images - 0.5) / 0.5).numpy()
        with h5py.File(directory / f"one/{name}-1.h5") as file:
            worst = np.abs(file["predictions"][:] - expected).max() / np.abs(expected).max()
        print(f"{name}: features differ from torchvision's by {worst:.1e} of the largest")
        expect(worst < 1e-4, f"{name}: features are not torchvision's")
        expect((directory / f"one/{name}-1.h5").read_bytes() == (directory / f"two/{name}-1.h5").read_bytes(),
               f"{name}: 2 ranks give other features than 1")


def rows_of(file):
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test(directory):
    make_dataset(directory, "gallery", samples=120, size=SIZE_PX, seed=1)
    make_dataset(directory, "queries", samples=40, size=SIZE_PX, seed=2)
    network = write_weights(directory)
    sides = ["match", "--weights", "w.safetensors", "--gallery", "gallery", "--queries", "queries"]
    text = call([*sides, "--keep-features", "one", "--output", "one.csv", "--page", "page.html"], directory)
    print(text)
    call([*sides, "--keep-features", "two", "--output", "two.csv"], directory, ranks=2)
    features_are_torchvisions(directory, network)
    answers = rows_of(directory / "one.csv")
    expect(answers == rows_of(directory / "two.csv"), "2 ranks give other answers than 1")
    expect(answers[0] == ["Image", "Id"] and len(answers) == 41, f"the answers are {answers[:2]}")
    expect(all(sorted(names.split()) == ["0", "1", "2", "3"] for _, names in answers[1:]), "not everybody is ranked")
    expect("first answer right" in text, "the packed classes were not taken as truth")
    page = (directory / "page.html").read_text(encoding="utf-8")
    pictures = page.count("data:image/jpeg")
    # "http" alone may be part of a picture's base64.
    expect(pictures == 200 and "://" not in page, f"the page has {pictures} pictures, or needs a network")

    # The tables that were kept give the same answers.
    (directory / "who.csv").write_text(
        "Image,Id\n" + "".join(f"{image},{name}\n" for image, name in identities(directory)))
    tables = ["match", "--gallery", "one/gallery-1.h5", "--queries", "one/queries-1.h5", "--identities", "who.csv"]
    call([*tables, "--output", "again.csv"], directory)
    expect(rows_of(directory / "again.csv") == answers, "features from tables give other answers")

    # Each image against all others, re-ranked, with a threshold.
    text = call(["match", "--gallery", "one/gallery-1.h5", "--queries", "one/gallery-1.h5", "--identities", "who.csv", "--rerank",
                 "--unknown", "new", "--threshold", "share=0.25"], directory)
    expect("120 queries are gallery images" in text, text)
    first = [names.split()[0] for _, names in rows_of(directory / "matches.csv")[1:]]
    expect(abs(first.count("new") - 30) <= 2, f"{first.count('new')} of 120 are unknown")

    # As packed, where the class '3' stands for everybody else: its images ask in validation, and a classifier joins.
    text = call([*sides, "--unknown", "3", "--classify", "--output", "new.csv"], directory)
    expect("weight of classifier 2" in text and "ask in validation" in text, text)
    expect(all(names.split().count("3") <= 1 for _, names in rows_of(directory / "new.csv")[1:]), "'3' is answered twice")

    nearest_images_are_numpys(directory, tables)
    key_points_find_what_features_miss(directory)
    bad_input_is_named(directory, tables)


def nearest_images_are_numpys(directory, tables):
    call([*tables, "--nearest", "nearest.csv", "--nearest-images", "3"], directory)
    call([*tables, "--nearest", "nearest-2.csv", "--nearest-images", "3"], directory, ranks=2)
    found = rows_of(directory / "nearest.csv")
    expect(found == rows_of(directory / "nearest-2.csv"), "2 ranks find other nearest images than 1")
    sides = {}
    for name in ("gallery", "queries"):
        with h5py.File(directory / f"one/{name}-1.h5") as file:
            rows = file["predictions"][:].astype(np.float64)
            sides[name] = rows / np.linalg.norm(rows, axis=1, keepdims=True), [one.decode() for one in file["ids"][:]]
    scores = sides["queries"][0] @ sides["gallery"][0].T
    cosines = np.array([float(row[4]) for row in found[1:]]).reshape(len(scores), 3)
    expect(np.allclose(cosines, -np.sort(-scores, axis=1)[:, :3], atol=2e-6), "the nearest images are not the nearest")
    expect([row[0] for row in found[1::3]] == sides["queries"][1], "the queries are others")


def views(directory, name, individuals, per_individual, seed):
    """Packs pictures of blots, one per individual, each seen several times a little turned, scaled and moved."""
    random = np.random.default_rng(seed)
    rows, size = [], 120
    (directory / name).mkdir()
    for individual in range(individuals):
        picture = ndimage.gaussian_filter(np.random.default_rng(individual).normal(size=(2 * size, 2 * size)), 2.5)
        picture = np.clip(128 + 50 * picture / picture.std(), 0, 255)
        for view in range(per_individual):
            turn, scale = random.uniform(-0.25, 0.25), random.uniform(0.85, 1.15)
            matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            offset = np.array([size, size]) - matrix @ np.array([size / 2, size / 2]) + random.uniform(-10, 10, 2)
            seen = ndimage.affine_transform(picture, matrix, offset, output_shape=(size, size), order=1)
            rows.append((f"{individual}-{view}.png", f"i{individual:02}"))
            Image.fromarray(seen.astype(np.uint8)).save(directory / name / rows[-1][0])
    with open(directory / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "individual"), *rows])
    (directory / f"{name}.yaml").write_text(f"output: packed/{name}\nsource: csv_ids\nimages: {name}\nlabels_file: {name}.csv\n"
                                            "label_column: individual\nchannels: 1\n")
    call(["pack", f"{name}.yaml"], directory)
    # Features that know the individual, but not well.
    centres = np.random.default_rng(1).normal(size=(individuals, 8))
    with open(directory / f"{name}-features.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", *"abcdefgh"])
        for image, individual in rows:
            out.writerow([image, *(centres[int(individual[1:])] + 1.5 * random.normal(size=8))])
    return rows


def key_points_find_what_features_miss(directory):
    views(directory, "known", 12, 4, seed=1)
    views(directory, "seen", 12, 2, seed=2)
    sides = ["match", "--gallery", "known-features.csv", "--queries", "seen-features.csv", "--gallery-images", "packed/known",
             "--query-images", "packed/seen"]
    right = {}
    for name, more, ranks in (("plain", [], 1), ("one", ["--key-points", "12"], 1),
                              ("two", ["--key-points", "12", "--threads", "2", "--key-point-cache", "cache"], 2),
                              ("again", ["--key-points", "12", "--key-point-cache", "cache", "--page", "points.html"], 1)):
        text = call([*sides, *more, "--output", f"{name}.csv"], directory, ranks=ranks)
        right[name] = float(text.split("first answer right")[1].split()[0])
    print(f"first answers right: features {right['plain']}, with key points {right['one']}")
    expect(right["plain"] < 0.8 and right["one"] > 0.9, f"first answers right: {right}")
    answers = rows_of(directory / "one.csv")
    expect(all(rows_of(directory / f"{name}.csv") == answers for name in ("two", "again")), "ranks, threads or the cache change answers")
    expect(len(list((directory / "cache").iterdir())) == 72, "not every image has its file of key points")
    expect("points match" in (directory / "points.html").read_text(encoding="utf-8"), "the page does not tell how many points match")
    for arguments, code, word in (([*sides[:5], "--key-points", "3"], 2, "--gallery-images"),
                                  ([*sides, "--key-points", "3", "--gallery-masks", "nowhere"], 4, "nowhere/0-0.png.png"),
                                  ([*sides, "--key-points", "3", "--key-point-weight", "much"], 2, "much")):
        text = call([*arguments, "--identities", "who.csv"] if len(arguments) < 8 else arguments, directory, code=code)
        expect(word in text, f"no '{word}' in:\n{text}")


def identities(directory):
    labels = (directory / "gallery-labels-idx1-ubyte").read_bytes()[8:]
    with h5py.File(directory / "one/gallery-1.h5") as file:
        ids = [name.decode() for name in file["ids"][:]]
    return list(zip(ids, map(str, labels)))


def bad_input_is_named(directory, tables):
    def refused(arguments, code, *words):
        text = call(arguments, directory, code=code)
        expect(all(word in text for word in words), f"{words} are not all in:\n{text}")

    refused([*tables[:2], "missing.h5", *tables[3:]], 4, "missing.h5")
    # Before anything is read or computed.
    early = ["match", "--weights", "missing.safetensors", "--gallery", "gallery", "--queries", "queries"]
    refused([*early, "--map", "logaritmic"], 3, "logaritmic", "known:")
    refused([*early, "--newcomers"], 2, "newcomers", "name the unknown")
    refused([*early, "--rerank", "--score", "mean"], 2, "re-ranking scores images")
    refused([*early, "--pseudo-labels", "p.csv", "--answers", "1"], 2, "raise --answers")
    refused([*tables[:2], "who.txt", *tables[3:]], 2, "who.txt")
    (directory / "bad.csv").write_text("id,x\na,1\nb,nan\n")
    refused(["match", "--gallery", "bad.csv", "--queries", "bad.csv"], 88, "bad.csv", "'b'")
    (directory / "narrow.csv").write_text("id,x\na,1\n")
    refused([*tables[:4], "narrow.csv", *tables[5:]], 4, "narrow.csv", "512")
    refused(tables[:5], 4, "nobody is named", "--identities")
    refused(["match", "--weights", "diverged.safetensors", "--gallery", "gallery", "--queries", "queries"], 88, "features of gallery", "finite")
    refused([*tables, "--threshold", "much"], 2, "much")
    refused([*tables, "--score", "most"], 3, "most", "top_mean")


main(test)
