#!/bin/bash
# The R1 chain over seeds 0, 1 and 2, and what distillation saves: seconds of training until an evaluation is as good as
# what RL alone ends with, and how far the smaller student stays behind its teacher.
#   configs/r1_small_seeds.sh [PROGRAM]        runs land in runs/r1-small-seed-N
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/cohort}
mkdir -p runs
for seed in 0 1 2; do
  "$program" run configs/r1-small.json --out "runs/r1-small-seed-$seed" --resume --set "seed=$seed" \
    >"runs/r1-small-seed-$seed.txt"
  cat "runs/r1-small-seed-$seed.txt"
done
python3 - <<'EOF'
import json

def evaluations(run, stage):
    """(seconds of training, score) of a stage's own evaluations on 200 tasks."""
    seconds = 0
    for line in open(f"{run}/{stage}/metrics.jsonl"):
        row = json.loads(line)
        if row["step"] == 1:  # which holds that of the start
            yield 0, row["eval/pass@1"]
        seconds += row["step_time"]
        if row["step"] > 1 and "eval/pass@1" in row:
            yield seconds, row["eval/pass@1"]

for seed in 0, 1, 2:
    run = f"runs/r1-small-seed-{seed}"
    stages = {s["name"]: s for s in json.load(open(f"{run}/stages.json"))}
    for who, rl, taught in ("policy", "reasoning", "taught"), ("student", "small_student_rl", "small_student_taught"):
        seconds, score = list(evaluations(run, rl))[-1]
        reached = next((s for s, p in evaluations(run, taught) if p >= score), None)
        print(f"seed {seed}: the {who} by RL alone {100 * score:.1f} % after {seconds:.0f} s; on-policy distillation " +
              (f"is there after {reached:.1f} s ({seconds / max(reached, 1e-9):.1f} times faster)" if reached is not None
               else f"ends at {100 * list(evaluations(run, taught))[-1][1]:.1f} %"))
    teacher, student = (100 * stages[n]["pass@1"] for n in ("all_scenarios", "small_student_on_policy"))
    print(f"seed {seed}: teacher {teacher:.1f} %, smaller student {student:.1f} % by traces and on-policy; "
          f"{sum(s['seconds'] for s in stages.values()):.0f} s in all")
EOF
