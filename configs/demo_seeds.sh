#!/bin/bash
# The demo over seeds 0, 1 and 2: one table each, and what has to hold of them.
#   configs/demo_seeds.sh [PROGRAM]        runs land in runs/demo-seed-N
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/cohort}
mkdir -p runs
for seed in 0 1 2; do
  "$program" run configs/demo.json --out "runs/demo-seed-$seed" --resume --set "seed=$seed" >"runs/demo-seed-$seed.txt"
  cat "runs/demo-seed-$seed.txt"
done
python3 - <<'EOF'
import json
for seed in 0, 1, 2:
    stages = {s["name"]: s for s in json.load(open(f"runs/demo-seed-{seed}/stages.json"))}
    points = lambda name, key="pass@1": 100 * stages[name][key]
    print(f"seed {seed}: GRPO {points('grpo'):.1f} % (+{points('grpo') - points('cold_start'):.1f} points, "
          f"lenient +{points('grpo', 'lenient_pass@1') - points('cold_start', 'lenient_pass@1'):.1f}); "
          f"student distilled {points('student_distilled'):.1f} %, by GRPO alone {points('student_grpo'):.1f} %; "
          f"{sum(s['seconds'] for s in stages.values()):.0f} s")
EOF
