"""Makes events.golden: an event file written by the tensorboard 2.21 package, and checks that its readers read it.

    python make_goldens.py [events file to check instead]
"""
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

GOLDEN = pathlib.Path(__file__).parent / "events.golden"
STEPS = {1: {"reward": 0.25, "eval/pass@1": 0.5}, 2: {"reward": float("nan"), "loss": -1e-7}, 300: {"reward": 1.0}}


def write(path):
    with open(path, "wb") as file:
        records = RecordWriter(file)
        records.write(event_pb2.Event(wall_time=1.7e9, file_version="brain.Event:2").SerializeToString())
        for step, scalars in STEPS.items():
            values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
            event = event_pb2.Event(wall_time=1.7e9 + step, step=step, summary=summary_pb2.Summary(value=values))
            records.write(event.SerializeToString())


def show(path):
    events = event_accumulator.EventAccumulator(str(path))
    events.Reload()
    for tag in sorted(events.Tags()["scalars"]):
        print(tag, [(event.step, event.wall_time, event.value) for event in events.Scalars(tag)])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        show(sys.argv[1])
    else:
        write(GOLDEN)
