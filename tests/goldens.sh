#!/bin/bash
# Writes every golden file anew from the peer it comes from: tests/goldens.sh [PYTHON]. Without a PYTHON that has the
# packages below, one is made in .deps/peers (3 GB). What takes a real model or vocabulary is left as it is unless
# `make smollm2` and tests/text/fetch_vocabularies.sh have run. Ends with what changed: nothing, with these versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${1:-.deps/peers/bin/python}
if [ $# -eq 0 ] && [ ! -e .deps/peers/done ]; then
  python3 -m venv .deps/peers
  .deps/peers/bin/pip install --quiet torch==2.11.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0 \
    gguf==0.19.0 sentencepiece==0.2.3 protobuf==7.36.2 tiktoken==0.14.0 tensorboard==2.21.0 trl==1.16.0 Jinja2==3.1.6
  touch .deps/peers/done
fi
smollm2=.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf

"$python" tests/policy/golden/make_families.py >tests/policy/golden/families.json.part
mv tests/policy/golden/families.json{.part,}
"$python" tests/files/golden/make_goldens.py $([ ! -e $smollm2 ] || echo $smollm2)
"$python" tests/text/generate_tokenizer_goldens.py
"$python" tests/text/generate_chat_goldens.py
[ ! -e $smollm2 ] || "$python" tests/text/generate_smollm2_goldens.py $smollm2
[ ! -e .deps/tokenizers ] || "$python" tests/text/generate_vocabulary_goldens.py
"$python" tests/report/golden/make_goldens.py
"$python" tests/grpo/generate_trl_goldens.py
TRL_EXPERIMENTAL_SILENCE=1 "$python" tests/grpo/generate_distillation_goldens.py
"$python" tests/distill/generate_sft_goldens.py
"$python" tests/rollout/generate_sampling_goldens.py
"$python" tests/program/generate_import_goldens.py trl
git status --short -- 'tests/*golden*'
