"""The U-Net rebuilt as a PyTorch module, and binary cross-entropy plus Dice written out."""

import torch
from exchange import answer_all
from torch import nn

WIDTHS = (16, 32, 64, 128, 256)


class Pair(nn.Module):
    def __init__(self, inputs, channels, below=None):
        super().__init__()
        if below:
            self.grow = nn.ConvTranspose2d(below, channels, 2, stride=2)
        self.conv1 = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x)).relu())).relu()


class UNet(nn.Module):
    def __init__(self, channels):
        super().__init__()
        inputs = channels
        for name, width in zip(("down1", "down2", "down3", "down4", "bottom"), WIDTHS):
            self.add_module(name, Pair(inputs, width))
            inputs = width
        for i in (4, 3, 2, 1):
            self.add_module(f"up{i}", Pair(2 * WIDTHS[i - 1], WIDTHS[i - 1], WIDTHS[i]))
        self.out = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x):
        skipped = []
        for i in (1, 2, 3, 4):
            x = getattr(self, f"down{i}")(x)
            skipped.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for i in (4, 3, 2, 1):
            level = getattr(self, f"up{i}")
            beside = skipped[i - 1]
            grown = torch.zeros(x.shape[0], WIDTHS[i - 1], *beside.shape[2:], dtype=x.dtype)
            grown[:, :, : 2 * x.shape[2], : 2 * x.shape[3]] = level.grow(x)
            x = level(torch.cat([beside, grown], 1))
        return self.out(x).flatten(1)


def answer(tensors, settings):
    images, targets = tensors["images"], tensors["targets"]
    network = UNet(images.shape[1]).to(images.dtype)
    network.load_state_dict({k.removeprefix("weight/"): v for k, v in tensors.items() if k.startswith("weight/")})
    answers = {}
    with torch.no_grad():
        answers["eval"] = network.eval()(images)
    logits = network.train()(images)
    loss = 0
    for z, t in zip(logits, targets):
        p = torch.sigmoid(z)
        loss = loss + nn.functional.binary_cross_entropy(p, t) + 0.7 * (1 - (2 * (p @ t) + 1) / (p.sum() + t.sum() + 1))
    loss.backward()
    answers["loss"] = loss
    return answers | {"grad/" + name: parameter.grad for name, parameter in network.named_parameters()}


torch.set_num_threads(1)
answer_all(answer)
