"""Distribution of torchvision's RandomResizedCrop boxes.

usage: resized_crops.py HEIGHT WIDTH OUT
OUT gets mean and standard deviation of the relative area, the same of log(width / height), mean top, mean left.
"""

import sys

import numpy as np
import torch
from torchvision.transforms import RandomResizedCrop


def main():
    height, width, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.manual_seed(0)
    image = torch.empty(1, height, width)
    boxes = np.array([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(20000)])
    top, left, h, w = boxes.T
    area = h * w / (height * width)
    ratio = np.log(w / h)
    with open(out, "w") as stream:
        stream.write(f"{area.mean()} {area.std()} {ratio.mean()} {ratio.std()} {top.mean()} {left.mean()}\n")


if __name__ == "__main__":
    main()
