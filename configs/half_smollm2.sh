#!/bin/bash
# Half of SmolLM2-135M's layers (the first eight and the last seven of thirty), distilled on GSM8K and MATH questions: how
# much of the log-likelihood per token that the cut cost comes back on held-out solutions, over seeds 0, 1 and 2.
#   configs/half_smollm2.sh [PROGRAM]        runs land in runs/half-smollm2; needs `make smollm2` and datasets/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/cohort}
teacher=.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf
runs=runs/half-smollm2
mkdir -p "$runs"

likelihood() {  # of model $1, into $2
  [ -s "$2" ] && return
  for tasks in datasets/gsm8k/test.jsonl datasets/math/math500_test.jsonl; do
    "$program" eval -m "$1" --tasks "$tasks:chat=true" --nll --limit 200 --bf16 --json
  done >"$2.partial"
  mv "$2.partial" "$2"
}

[ -d "$runs/cut" ] || "$program" export -m "$teacher" --dtype bf16 --out "$runs/cut" \
  --keep-layers 0,1,2,3,4,5,6,7,23,24,25,26,27,28,29
likelihood "$teacher" "$runs/teacher.json"
likelihood "$runs/cut" "$runs/cut.json"
for seed in 0 1 2; do
  "$program" distill configs/half_smollm2.json --out "$runs/seed-$seed" --resume --set "seed=$seed" \
    --set "student.seed=$seed"
  likelihood "$runs/seed-$seed/final" "$runs/seed-$seed.json"
done
python3 - "$runs" <<'EOF'
import json, sys

runs = sys.argv[1]
nll = lambda name: [json.loads(line)["nll"] for line in open(f"{runs}/{name}.json")]
teacher, cut = nll("teacher"), nll("cut")
for seed in 0, 1, 2:
    rows = [json.loads(line) for line in open(f"{runs}/seed-{seed}/metrics.jsonl")]
    for tasks, a, b, c in zip(("GSM8K", "MATH"), teacher, cut, nll(f"seed-{seed}")):
        print(f"seed {seed}, {tasks}: teacher {a:.3f} nats a token, cut {b:.3f}, distilled {c:.3f}: "
              f"{100 * (b - c) / (b - a):.1f} % of the loss is back")
    print(f"seed {seed}: {rows[-1]['num_tokens']} tokens in {sum(r['step_time'] for r in rows) / 60:.1f} minutes")
EOF
