"""Whether the safetensors package reads `N.in.safetensors` and finds the tensors that `N.ours.safetensors` holds."""

import pathlib
import sys

from safetensors.torch import load_file

cases = sorted(pathlib.Path(sys.argv[1]).glob("*.in.safetensors"))
assert cases
for case in cases:
    theirs = load_file(case)
    ours = load_file(str(case).replace(".in.", ".ours."))
    assert set(theirs) == set(ours), (case.read_bytes(), set(ours))
    for name, value in theirs.items():
        same = value.dtype == ours[name].dtype and value.shape == ours[name].shape
        assert same and value.numpy(force=True).tobytes() == ours[name].numpy(force=True).tobytes(), (case.read_bytes(), name)
print(f"{len(cases)} files read alike")
