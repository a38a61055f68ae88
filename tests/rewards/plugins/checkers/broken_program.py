"""An exec: checker whose faults are asked for by the completion's text."""

import json
import os
import sys
import time

if "--slow-start" in sys.argv:
    time.sleep(1)

batch = []
for line in sys.stdin:
    item = json.loads(line)
    text = item["completion"]
    answer = {"id": item["id"], "score": 1.0, "components": {"pid": os.getpid()}}
    if text == "crash":
        os.abort()
    if text == "hang":
        time.sleep(1000)
    if text == "silent":
        continue
    if text == "noise":
        print("loading the model ...")
    if text == "wrong id":
        answer["id"] = "nobody"
    if text == "twice":
        print(json.dumps(answer))
    if text == "nan":
        answer["score"] = float("nan")
    if text == "no score":
        del answer["score"]
    if text == "status":
        answer["status"] = "fine"
    if text == "hack":
        answer.update(score=0, status="hack", reason="it\nlied", extra_logs={"a": [1]})
    if text == "error":
        answer["status"] = "error"
    if text == "deep":
        print('{"id": "t0", "score": 1, "extra_logs": ' + '{"a":' * 300_000 + "1" + "}" * 300_001)
    if text == "flood":
        while True:
            os.write(1, b"x" * 65536)
    if text == "hold":  # answered after the next one
        batch.append(answer)
        continue
    for one in [answer, *batch]:
        print(json.dumps(one))
    batch.clear()
