#!/usr/bin/env python3
"""Lists images of individuals for `baleen pack` and folds for `baleen run`, from public re-identification data.

    list_individuals.py omniglot images_background_small1.zip omniglot   (unpacks the drawings into omniglot/images, too)
    list_individuals.py lions lion_folder lions                          (with train/NAME/*.png and val/NAME/*.png)
    list_individuals.py whales train.csv whales                          (Image,Id; images labelled new_whale are left out)

Writes OUTPUT/labels.csv (image,individual) and, but for the whales, OUTPUT/folds.csv (id,fold): fold 0 holds the
individuals that others are judged by, so that its chain learns from all others.
"""

import argparse
import csv
import pathlib
import zipfile

JUDGED_ALPHABETS = ("Korean", "Latin")
UNKNOWN_WHALE = "new_whale"


def write_table(file, header, rows):
    with open(file, "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_lists(output, rows):
    """rows: (image, individual, fold or None)."""
    output.mkdir(parents=True, exist_ok=True)
    rows = sorted(rows)
    write_table(output / "labels.csv", ("image", "individual"), (row[:2] for row in rows))
    if all(fold is not None for _, _, fold in rows):
        write_table(output / "folds.csv", ("id", "fold"), ((image, fold) for image, _, fold in rows))
    print(f"{len(rows)} images of {len({row[1] for row in rows})} individuals: {output / 'labels.csv'}")


def omniglot(source, output):
    rows = []
    with zipfile.ZipFile(source) as archive:
        for entry in archive.namelist():
            parts = pathlib.PurePosixPath(entry).parts  # set/alphabet/character/drawing.png
            if len(parts) != 4 or not entry.endswith(".png") or ".." in parts:
                continue
            image = "/".join(parts[1:])
            target = output / "images" / image
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(entry))
            rows.append((image, f"{parts[1]}/{parts[2]}", 0 if parts[1] in JUDGED_ALPHABETS else 1))
    return rows


def lions(source, output):
    return [(file.relative_to(source).as_posix(), file.parent.name, 0 if part == "val" else 1)
            for part in ("train", "val") for file in (source / part).glob("*/*.png")]


def whales(source, output):
    with open(source, newline="") as file:
        return [(row["Image"], row["Id"], None) for row in csv.DictReader(file) if row["Id"] != UNKNOWN_WHALE]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("omniglot", "lions", "whales"))
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args()
    rows = {"omniglot": omniglot, "lions": lions, "whales": whales}[arguments.data](arguments.source, arguments.output)
    if not rows:
        parser.error(f"there are no images in {arguments.source}")
    write_lists(arguments.output, rows)


if __name__ == "__main__":
    main()
