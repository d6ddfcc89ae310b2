"""torchvision's colour changes of images in [0, 1]."""

import torchvision.transforms.v2.functional as F
from exchange import answer_all


def answer(tensors, settings):
    image = tensors["image"]
    changes = {
        "saturation": F.adjust_saturation,
        "contrast": F.adjust_contrast,
        "brightness": F.adjust_brightness,
        "gamma": F.adjust_gamma,
    }
    return {"image": changes[settings["what"]](image, settings["amount"])}


answer_all(answer)
