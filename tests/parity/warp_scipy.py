"""scipy's affine_transform, gaussian_filter and map_coordinates on given images and fields."""

import numpy as np
import torch
from exchange import answer_all
from scipy import ndimage


def affine(tensors, settings):
    image, matrix = tensors["image"].numpy().astype(np.float64), tensors["matrix"].numpy()
    fill = tensors["fill"].numpy()
    planes = [ndimage.affine_transform(image[:, :, c], matrix[:2, :2], matrix[:2, 2], order=1, mode="constant", cval=fill[c])
              for c in range(image.shape[2])]
    return {"image": torch.from_numpy(np.stack(planes, axis=2))}


def elastic(tensors, settings):
    image, noise = tensors["image"].numpy().astype(np.float64), tensors["noise"].numpy().astype(np.float64)
    size, grid = image.shape[0], noise.shape[1]
    moves = []
    for axis in noise:
        smooth = ndimage.gaussian_filter(axis, settings["sigma"] * grid, mode="reflect", truncate=4.0)
        places = np.clip((np.arange(size) + 0.5) * grid / size - 0.5, 0, grid - 1)
        smooth = ndimage.map_coordinates(smooth, np.meshgrid(places, places, indexing="ij"), order=1, mode="nearest")
        moves.append(smooth * settings["alpha"] * size)
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    planes = [ndimage.map_coordinates(image[:, :, c], [y + moves[0], x + moves[1]], order=1, mode="reflect")
              for c in range(image.shape[2])]
    return {"image": torch.from_numpy(np.stack(planes, axis=2)), "moves": torch.from_numpy(np.stack(moves))}


answer_all(lambda tensors, settings: (affine if settings["what"] == "affine" else elastic)(tensors, settings))
