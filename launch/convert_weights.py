#!/usr/bin/env python3
"""Turns PyTorch weights (.pth, .pt, .bin) into safetensors, which Baleen reads.

A .pth file is a pickle: a program that builds objects, and can run any code while it does. This script lets PyTorch load
tensors and plain containers only (weights_only=True) and refuses the rest, so that weights of strangers are safe to convert.
Needs Python with torch and safetensors, as in build/venv.
"""

import argparse
import os
import pathlib
import pickle
import sys
import tempfile

# Where training programs keep the weights inside what they save, nearest to the weights last.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
ENDINGS = (".pth", ".pt", ".bin", ".pkl", ".tar", ".ckpt")


class Refused(Exception):
    """The file can't be converted; the text says why and what to do."""


def load(path):
    import torch

    if not path.is_file():
        raise Refused(f"there is no file {path}")
    if path.suffix == ".safetensors":
        raise Refused(f"{path} is safetensors already: name it in the recipe as it is")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "TorchScript" in line), "")
        raise Refused(
            f"{path} asks for code to be run while it is read, and that is refused{': ' + reason if reason else ''}\n"
            "It holds more than tensors, for instance a whole network or training options. Where you trust its author, load "
            "it in Python\nyourself and save the weights alone: torch.save(network.state_dict(), 'weights.pth').") from error
    except (RuntimeError, EOFError, KeyError, ValueError, OSError, AssertionError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise Refused(f"{path} is no whole PyTorch file: {first}\nDownload or save it again.") from error


def is_tensor(value):
    import torch

    return isinstance(value, torch.Tensor)


def tensors_below(value):
    """Every dictionary that holds a tensor, as (path of keys, dictionary), outermost first."""
    found = []
    if isinstance(value, dict):
        if any(is_tensor(item) for item in value.values()):
            found.append(((), value))
        for key, item in value.items():
            found += [((str(key), *path), inner) for path, inner in tensors_below(item)]
    return found


def choose(content, wanted, path):
    """The dictionary of weights in what a file held. @returns (where it was, dictionary)"""
    if is_tensor(content):
        raise Refused(f"{path} holds one tensor without a name, not a network's weights")
    places = {".".join(keys): inner for keys, inner in tensors_below(content)}
    if not places:
        raise Refused(f"{path} holds no tensors")
    if wanted is not None:
        if wanted not in places:
            raise Refused(f"{path} has no weights under '{wanted}'; there are: {', '.join(sorted(places)) or 'none'}")
        return wanted, places[wanted]
    if "" in places:
        return "", places[""]
    usual = [place for place in places if place.split(".")[-1] in WRAPPERS]
    candidates = usual or list(places)
    if len(candidates) == 1:
        return candidates[0], places[candidates[0]]
    for wrapper in WRAPPERS:  # "state_dict" before "model" where a file has both
        if wrapper in candidates:
            return wrapper, places[wrapper]
    raise Refused(f"{path} holds several sets of weights: choose with --key one of {', '.join(sorted(candidates))}")


def prepare(weights, path):
    """Plain, contiguous tensors that share no memory, under names without `module.`. @returns (tensors, notes)"""
    import torch

    notes, left_out, tensors = [], [], {}
    names = [str(name) for name, value in weights.items() if is_tensor(value)]
    wrapped = names and all(name.startswith("module.") for name in names)
    if wrapped:
        notes.append("prefix 'module.' taken off all names")
    memory = {}
    for key, value in weights.items():
        name = str(key)
        if not is_tensor(value):
            left_out.append(name)
            continue
        if wrapped:
            name = name.removeprefix("module.")
        if name in tensors:
            raise Refused(f"{path} holds '{name}' twice")
        if value.is_quantized or value.layout != torch.strided or value.is_complex():
            raise Refused(f"'{name}' is {'quantised' if value.is_quantized else 'sparse or complex'}: save a network with plain weights")
        if value.device.type == "meta":
            raise Refused(f"'{name}' has a shape but no values (device 'meta')")
        value = value.detach()
        if value.numel() > 0:
            memory.setdefault(value.untyped_storage().data_ptr(), []).append(name)
        # A copy: views of one memory, which PyTorch allows, would be refused by safetensors.
        tensors[name] = value.clone(memory_format=torch.contiguous_format).resolve_conj().resolve_neg()
    shared = [names for names in memory.values() if len(names) > 1]
    if shared:
        notes.append(f"{sum(map(len, shared))} tensors shared memory ({', '.join(shared[0][:3])}, ...): each has its own copy now")
    if left_out:
        notes.append(f"left out, as they are no tensors: {', '.join(left_out[:5])}{' ...' if len(left_out) > 5 else ''}")
    return tensors, notes


def write(tensors, output, source):
    from safetensors.torch import save_file

    output.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={"format": "pt", "converted_from": source.name})
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, output)
    except BaseException:
        os.unlink(temporary)
        raise


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def convert(arguments):
    source = arguments.input
    place, weights = choose(load(source), arguments.key, source)
    tensors, notes = prepare(weights, source)
    if not tensors:
        raise Refused(f"{source} holds no tensors")
    if place:
        notes.insert(0, f"weights found under '{place}'")
    if arguments.list:
        width = max(map(len, tensors))
        for name, value in tensors.items():
            print(f"{name:<{width}}  {str(value.dtype).removeprefix('torch.'):<9} [{', '.join(map(str, value.shape))}]")
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    if arguments.list:
        print(f"{len(tensors)} tensors, {total / 1e6:.1f} MB{''.join('; ' + note for note in notes)}")
        return
    output = arguments.output or source.with_suffix(".safetensors")
    if output.exists() and not arguments.force:
        raise Refused(f"{output} exists already: give another name, or --force to replace it")
    write(tensors, output, source)
    print(f"{output}: {len(tensors)} tensors, {total / 1e6:.1f} MB{''.join('; ' + note for note in notes)}")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="convert_weights.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  launch/convert_weights.py resnet50-11ad3fa6.pth              writes resnet50-11ad3fa6.safetensors\n"
        "  launch/convert_weights.py checkpoint.pth --list              shows what is in it\n"
        "  launch/convert_weights.py checkpoint.pth --key ema.state_dict --output ema.safetensors\n\n"
        "Then, in a recipe:\n"
        "  backbones: [{name: resnet50, weights: resnet50-11ad3fa6.safetensors}]")
    parser.add_argument("input", type=pathlib.Path, help=f"file that torch.save wrote ({', '.join(ENDINGS)})")
    parser.add_argument("--output", "-o", type=pathlib.Path, help="file to write; default: the input's name with .safetensors")
    parser.add_argument("--key", help="where the weights are in the file, e.g. state_dict; default: found by themselves")
    parser.add_argument("--list", action="store_true", help="print names, dtypes and shapes; write nothing")
    parser.add_argument("--force", action="store_true", help="replace the output where it exists")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    try:
        convert(options)
    except Refused as refusal:
        print(f"convert_weights: {refusal}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"convert_weights: {error.name} is missing in {sys.executable}: run this with build/venv/bin/python "
              "(tests/run.sh --install-only makes it)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
