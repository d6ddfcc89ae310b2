"""Answers for the preprocessing tests: resizing, guided filter, haze removal, box crops, hashes. See exchange.py."""

import cv2
import imagehash
import numpy as np
import scipy.ndimage
import torch
import torchvision.transforms.v2.functional as functional
from PIL import Image

from exchange import answer_all


def pillow(array):
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def channels_last(array):
    return torch.from_numpy(np.array(array).reshape(*np.array(array).shape[:2], -1))


def resize(image, height, width):
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    antialiased = functional.resize(tensor, [height, width], antialias=True)
    return {
        "area": channels_last(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)),
        "pillow": channels_last(pillow(image).resize((width, height), Image.BILINEAR)),
        "lanczos": channels_last(pillow(image).resize((width, height), Image.LANCZOS)),
        "torchvision": antialiased.permute(1, 2, 0),
    }


def box_mean(values, radius):
    """Mean over windows of side 2 * radius + 1, the border mirrored with its own pixel, by summed areas."""
    rest = [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, [(radius, radius), (radius, radius)] + rest, mode="symmetric")
    sums = np.pad(padded.cumsum(0).cumsum(1), [(1, 0), (1, 0)] + rest)
    side = 2 * radius + 1
    return (sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]) / side**2


def guided(guide, values, radius, epsilon):
    guide = guide.astype(np.float64)
    values = values.astype(np.float64)
    mean_guide = box_mean(guide, radius)
    mean_values = box_mean(values, radius)
    products = box_mean(guide[..., :, None] * guide[..., None, :], radius)
    sigma = products - mean_guide[..., :, None] * mean_guide[..., None, :] + epsilon * np.eye(guide.shape[2])
    covariance = box_mean(guide * values[..., None], radius) - mean_guide * mean_values[..., None]
    a = np.linalg.solve(sigma, covariance[..., None])[..., 0]
    b = mean_values - (a * mean_guide).sum(-1)
    return (box_mean(a, radius) * guide).sum(-1) + box_mean(b, radius)


def luma(image):
    rgb = image.astype(np.int64)
    return ((19595 * rgb[..., 0] + 38470 * rgb[..., 1] + 7471 * rgb[..., 2] + 32768) >> 16).astype(np.uint8)


def guided_cases(image, radius, epsilon):
    colour = image.astype(np.float32) / np.float32(255)
    grey = luma(image).astype(np.float32) / np.float32(255)
    values = np.ascontiguousarray(colour[..., 1])
    own = {"grey": guided(grey[..., None], values, radius, epsilon), "colour": guided(colour, values, radius, epsilon)}
    of_opencv = {
        "grey_cv": cv2.ximgproc.guidedFilter(grey, values, radius, epsilon),
        "colour_cv": cv2.ximgproc.guidedFilter(colour, values, radius, epsilon),
    }
    return {name: channels_last(value) for name, value in {**own, **of_opencv}.items()}


def dark_channel(image, radius=7):
    return scipy.ndimage.minimum_filter(image.min(-1), 2 * radius + 1, mode="constant", cval=np.inf)


def dehaze(image, airlight, guide, radius, epsilon):
    image = image.astype(np.float64) / 255
    dark = dark_channel(image)
    brightest = np.argsort(-dark.astype(np.float32).ravel(), kind="stable")[: max(1, dark.size // 1000)]
    pixels = image.reshape(-1, image.shape[2])[np.sort(brightest)]
    light = pixels.mean(0) if airlight == "mean" else pixels[np.argmax(pixels.astype(np.float32).sum(1))]
    light = np.maximum(light, 1 / 255)
    transmission = 1 - 0.95 * dark_channel(image / light)
    if guide == "grey" and image.shape[2] == 3:
        guide_image = image @ np.array([0.299, 0.587, 0.114])
    else:
        guide_image = image
    transmission = guided(guide_image.reshape(*image.shape[:2], -1), transmission, radius, epsilon)
    scene = (image - light) / np.maximum(transmission, 0.1)[..., None] + light
    return {"result": torch.from_numpy(scene.clip(0, 1))}


def crop(image, region, height, width):
    x0, y0, x1, y1 = region
    scale = np.array([(y1 - y0) / height, (x1 - x0) / width])
    # Pixel i covers [i, i + 1): its centre is half a pixel further than scipy's coordinate.
    offset = np.array([y0, x0]) + scale / 2 - 0.5
    mean = image.astype(np.float64).mean((0, 1))
    channels = [
        scipy.ndimage.affine_transform(image[..., c].astype(np.float64), scale, offset, (height, width), order=1,
                                       mode="constant", cval=mean[c])
        for c in range(image.shape[2])
    ]
    y = offset[0] + scale[0] * np.arange(height)
    x = offset[1] + scale[1] * np.arange(width)
    inside = lambda at, size: (at >= 0) & (at <= size - 1)
    beyond = lambda at, size: (at < -0.5) | (at > size - 0.5)
    interior = inside(y, image.shape[0])[:, None] & inside(x, image.shape[1])[None]
    outside = beyond(y, image.shape[0])[:, None] | beyond(x, image.shape[1])[None]
    result = np.stack(channels, -1)
    every_channel = lambda mask: torch.from_numpy(np.repeat(mask[..., None], image.shape[2], -1).astype(np.uint8))
    return {
        "result": torch.from_numpy(result),
        "interior": every_channel(interior),
        "beyond": every_channel(outside),
        "fill": torch.from_numpy(np.broadcast_to(np.floor(mean + 0.5), result.shape).copy()),
    }


def hashes(files):
    as_signed = lambda value: value - (1 << 64) if value >> 63 else value
    median, mean = [], []
    opencv = cv2.img_hash.PHash_create()
    for file in files:
        image = Image.open(file).convert("RGB")
        median.append(as_signed(int(str(imagehash.phash(image)), 16)))
        bgr = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        mean.append(as_signed(int.from_bytes(opencv.compute(bgr).tobytes(), "big")))
    return {"median": torch.tensor(median, dtype=torch.int64), "mean": torch.tensor(mean, dtype=torch.int64)}


def answer(tensors, settings):
    image = tensors["image"].numpy()
    kind = settings.pop("kind")
    if kind == "hashes":
        return hashes(settings["files"])
    return {"resize": resize, "guided": guided_cases, "dehaze": dehaze, "crop": crop}[kind](image, **settings)


answer_all(answer)
