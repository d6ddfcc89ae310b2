"""Small sound files as seeds for the fuzzer, and a dictionary of the format's words. Usage: make_corpus.py FOLDER"""

import json
import pathlib
import struct
import sys


def file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


folder = pathlib.Path(sys.argv[1])
(folder / "corpus").mkdir(parents=True, exist_ok=True)
seeds = {
    "empty": file({}),
    "one": file({"a": entry("F32", [2], 0, 8)}, bytes(8)),
    "two": file({"a": entry("I64", [], 0, 8), "b.weight": entry("BF16", [2, 1, 3], 8, 20)}, bytes(20)),
    "metadata": file({"__metadata__": {"format": "pt", "note": "a\nb é"}, "a": entry("U8", [3], 0, 3)}, b"abc"),
    "nothing": file({"a": entry("F64", [0, 5], 0, 0), "b": entry("BOOL", [0], 0, 0)}),
    "escapes": file(rb'{"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"x"),
    "large": file({"a": entry("F32", [4294967296, 4294967296], 0, 0)}),
    "unaligned": file({"a": entry("U8", [1], 0, 1), "b": entry("F32", [1], 1, 5)}, bytes(5)),
    "short": struct.pack("<Q", 2**63) + b"{}",
}
for name, content in seeds.items():
    (folder / "corpus" / name).write_bytes(content)
words = ["__metadata__", '"dtype":', '"shape":[', '"data_offsets":[', "F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "},", "],",
         "18446744073709551615", "9223372036854775808", "4294967296"]
quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
(folder / "dictionary").write_text("".join(f'"{word}"\n' for word in quoted))
