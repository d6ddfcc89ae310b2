"""Forward and backward passes of torchvision's ResNets and DenseNets and timm's SE-ResNeXt, also with coordinate
channels and with GapNet's head, on weights that the caller draws from the same seed by the same rule."""

import math

import torch
import torchvision
from exchange import answer_all
from torch import nn


class Oracle(nn.Module):
    """The published network; `stages` are the modules whose outputs are its maps."""

    def __init__(self, network, stages, head, coordinates, gap, num_outputs):
        super().__init__()
        self.network, self.coordinates, self.gap, self.maps = network, coordinates, gap, []
        for stage in stages:
            network.get_submodule(stage).register_forward_hook(lambda module, inputs, output: self.maps.append(output))
        if gap:
            setattr(network, head, nn.Identity())
            network.gap_fc = nn.Linear(gap, num_outputs)

    def forward(self, images):
        self.maps = []
        if self.coordinates:
            height, width = images.shape[2:]
            rows = torch.tensor([2 * i / (height - 1) - 1 for i in range(height)], dtype=images.dtype)
            columns = torch.tensor([2 * j / (width - 1) - 1 for j in range(width)], dtype=images.dtype)
            ones = torch.ones(len(images), 1, height, width, dtype=images.dtype)
            images = torch.cat([images, ones * columns, ones * rows[:, None]], 1)
        logits = self.network(images)
        if isinstance(self.network, torchvision.models.DenseNet):
            # The published network applies this ReLU in place, after the hook.
            self.maps[-1] = nn.functional.relu(self.maps[-1])
        if not self.gap:
            return logits
        return self.network.gap_fc(torch.cat([stage.mean((2, 3)) for stage in self.maps], 1))


def oracle_of(settings):
    name, outputs = settings["name"], settings["num_outputs"]
    channels = settings["in_channels"] + 2 * settings["coordinates"]
    if name == "seresnext50_32x4d":
        import timm

        network = timm.create_model("legacy_seresnext50_32x4d", num_classes=outputs, in_chans=channels, drop_rate=0.0)
        stages, head, width = ["layer1", "layer2", "layer3", "layer4"], "last_linear", 3840
    else:
        network = getattr(torchvision.models, name)(num_classes=outputs)
        if name.startswith("resnet"):
            stages, head = ["layer1", "layer2", "layer3", "layer4"], "fc"
            width = 960 if name in ("resnet18", "resnet34") else 3840
            stem, owner, attribute = network.conv1, network, "conv1"
        else:
            stages, head = [f"features.denseblock{i}" for i in (1, 2, 3)] + ["features.norm5"], "classifier"
            width = 256 + 512 + 1024 + 1024
            stem, owner, attribute = network.features.conv0, network.features, "conv0"
        setattr(owner, attribute, nn.Conv2d(channels, stem.out_channels, 7, stride=2, padding=3, bias=False))
    return Oracle(network, stages, head, settings["coordinates"], width if settings["head"] == "gap" else 0, outputs)


def drawn(name, shape):
    if len(shape) > 1:
        return torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:]))
    if name.endswith("running_var"):
        return torch.rand(shape) + 0.5
    noise = torch.randn(shape) * 0.1
    return noise + 1 if name.endswith(".weight") else noise


def answer(tensors, settings):
    oracle = oracle_of(settings)
    network = oracle.network
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in settings["parameters"]]
    torch.manual_seed(settings["seed"])
    weights = {name: drawn(name, shape) for name, shape in settings["parameters"] + settings["buffers"]}
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(weights | counters, strict=True)
    images = tensors["images"]
    oracle = oracle.to(images.dtype)
    if settings["channels_last"]:
        oracle, images = oracle.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)
    answers = {}
    with torch.no_grad():
        answers["eval"] = answers["eval with gradients"] = oracle.eval()(images)
        answers |= {f"map/{i}": value.clone() for i, value in enumerate(oracle.maps)}
    answers["train"] = oracle.train()(images)
    answers["train"].backward(tensors["upstream"])
    answers |= {"grad/" + name: parameter.grad for name, parameter in network.named_parameters()}
    return answers | {"buffer/" + name: buffer for name, buffer in network.named_buffers()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    answer_all(answer)
