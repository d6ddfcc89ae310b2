"""Reads event files with TensorBoard's own reader: tensorboard_events.py ANSWER FOLDER."""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

accumulator = EventAccumulator(sys.argv[2], size_guidance={"scalars": 0})
accumulator.Reload()
scalars = {tag: [[e.step, e.value, e.wall_time] for e in accumulator.Scalars(tag)]
           for tag in accumulator.Tags()["scalars"]}
with open(sys.argv[1], "w") as file:
    json.dump({"file_version": accumulator.file_version, "scalars": scalars}, file)
