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

$(VENV)/test: requirements-test.txt $(VENV)/demo
	$(PIP) -r requirements-test.txt
	touch $@

$(VENV)/parity: requirements-parity.txt $(VENV)/test
	$(PIP) -r requirements-parity.txt
	touch $@

# ---- the demo --------------------------------------------------------------------------------------------------
VARIANT ?= base
DEMO ?= runs/demo
UTTERANCES ?= 3000
SENTENCES ?= 20000
TRAIN_SET ?=
TEXT_SET ?=
EVAL_ITEMS ?= 260
CORPUS := $(DEMO)/corpus
WORK := $(DEMO)/$(VARIANT)
ifeq ($(VARIANT),expressive)
EXPRESSIVE := --expressive
else ifneq ($(VARIANT),base)
$(error VARIANT = $(VARIANT): must be base or expressive; run make demo VARIANT=expressive)
endif

.PHONY: demo
demo: $(WORK)/report.html  ## the main job on a self-made corpus, about ten minutes (VARIANT=base|expressive)
	cp $(WORK)/report.html $(WORK)/report.json $(DEMO)/
	@echo "done: open $(DEMO)/report.html"
