"""`baleen match`: features are those of torchvision on any number of ranks, answers and page come out, bad input is named."""

import csv

import h5py
import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

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
    expect(page.count("data:image/jpeg") == 200 and "http" not in page, "the page lacks pictures or needs a network")

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

    bad_input_is_named(directory, tables)


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
    refused([*tables[:2], "who.txt", *tables[3:]], 2, "who.txt")
    (directory / "bad.csv").write_text("id,x\na,1\nb,nan\n")
    refused(["match", "--gallery", "bad.csv", "--queries", "bad.csv"], 88, "bad.csv", "'b'")
    (directory / "narrow.csv").write_text("id,x\na,1\n")
    refused([*tables[:4], "narrow.csv", *tables[5:]], 4, "narrow.csv", "512")
    refused(tables[:5], 4, "nobody is named", "--identities")
    refused([*tables, "--threshold", "much"], 2, "much")
    refused([*tables, "--score", "most"], 3, "most", "top_mean")


main(test)
