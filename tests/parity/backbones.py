"""Forward and backward passes of torchvision's ResNets, and of SimpleNet rebuilt from its published layer table."""

import torch
import torchvision
from exchange import answer_all
from torch import nn


class SimpleNet(nn.Module):
    """Hasanpour et al. 2016, 5 M network for ImageNet; "p" is a 2x2 max-pool, a pair is (channels, kernel)."""

    TABLE = [(64, 3)] + [(128, 3)] * 5 + ["p"] + [(256, 3)] * 3 + [(512, 3), "p", (2048, 1), (256, 1), (256, 3)]

    def __init__(self, num_outputs, in_channels, strides):
        super().__init__()
        layers, strides = [], list(strides)
        for item in self.TABLE:
            if item == "p":
                layers += [nn.MaxPool2d(2), nn.Identity()]
                continue
            channels, kernel = item
            stride = strides.pop(0) if strides else 1
            layers += [nn.Conv2d(in_channels, channels, kernel, stride=stride, padding=1),
                       nn.BatchNorm2d(channels, momentum=0.05), nn.ReLU(), nn.Identity()]
            in_channels = channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(in_channels, num_outputs)

    def forward(self, x):
        return self.classifier(nn.functional.adaptive_max_pool2d(self.features(x), 1).flatten(1))


def answer(tensors, settings):
    weights = {name[len("weight/"):]: value for name, value in tensors.items() if name.startswith("weight/")}
    outputs, channels = settings["num_outputs"], settings["in_channels"]
    if settings["name"].startswith("resnet"):
        network = getattr(torchvision.models, settings["name"])(num_classes=outputs)
        if channels != 3:
            network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    else:
        network = SimpleNet(outputs, channels, settings["strides"])
    network = network.to(tensors["images"].dtype)
    network.load_state_dict(weights, strict=True)
    answers = {}
    with torch.no_grad():
        answers["eval"] = network.eval()(tensors["images"])
    answers["train"] = network.train()(tensors["images"])
    answers["train"].backward(tensors["upstream"])
    answers |= {"grad/" + name: parameter.grad for name, parameter in network.named_parameters()}
    answers |= {"buffer/" + name: buffer for name, buffer in network.named_buffers()}
    answers["order"] = torch.tensor([sum(ord(c) * (i + 1) for i, c in enumerate(name)) for name, _ in network.named_parameters()])
    return answers


torch.set_num_threads(1)
answer_all(answer)
