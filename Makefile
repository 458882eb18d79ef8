# The two commands of the README are `make demo` and `make test`; both make .venv if it is not there.
# make demo ARGS="model.blocks=none"   passes overrides on to training.
# make demo ARGS=--resume              continues an interrupted demo.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test cases hostile fuzz kill-test fault-test soak evidence lint types check docs clean

help:
	@echo "make demo    install, make a small data set, train, test, look: output/demo/ (3 to 4 minutes on 2 cores)"
	@echo "make test    install the test extra and run all tests"
	@echo "make cases   COCO's numbers on 10,000 random cases, 10,000 right data sets (about 8 minutes)"
	@echo "make kill-test  a training killed 100 times and stopped 50 times, each time resumed (about 30 minutes)"
	@echo "make fault-test  every fault of one process of two, five times over (about 20 minutes)"
	@echo "make soak    long runs watched for leaks (about 15 minutes)"
	@echo "make evidence  the trainings behind docs/explanation/evidence.md (an hour and a half on 2 quiet cores)"
	@echo "make hostile  all hostile inputs through all commands (about 10 minutes; needs their generator)"
	@echo "make fuzz    inputs with random faults, 390,000 in all (about an hour)"
	@echo "make check   ruff, mypy and the tests, as before a commit"
	@echo "make docs    build the documentation as a site: output/site/index.html"
	@echo "make clean   remove .venv and output/demo"

# One stamp per extra: a change of what is installed or built installs again.
BUILT := setup.cfg setup.py $(wildcard keypoint/compiled/cpp/*)
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is too old: keypoint needs Python 3.10 or newer; make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "on Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: $(BUILT) | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-%: $(BUILT) | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch $@

demo: $(VENV)/.installed
	$(PY) -m keypoint.commands.main demo $(ARGS)

# MIN_TESTS: a switch or a broken import that hides tests must not look like success. Two processes of one thread
# each: on two cores one waits for files and sub-processes half of the time. The files are taken in the order of tests/conftest.py,
# the longest first, and not by their number of tests.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 MIN_TESTS=5300 $(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# COCO's numbers against plain pycocotools on 10,000 random cases of each kind; 10,000 random right
# sets, none of which is refused, and as many in other forms. About 8 minutes.
cases: $(VENV)/.installed-test
	CASES=10000 $(PY) -m pytest --timeout 3000 tests/evaluation/test_coco.py -k random_cases
	SETS=10000 $(PY) -m pytest --timeout 3000 tests/data/test_plausible.py -k "sets or forms"

# A training killed 100 times and sent SIGTERM 50 times, with and without worker processes, each time resumed.
kill-test: $(VENV)/.installed-test
	KILLS=100 STOPS=50 $(PY) -m pytest -s --timeout 3600 tests/end_to_end/test_kill.py

# Two processes, one of which raises, is killed, exits, hangs, drifts, has a nan or another config.
fault-test: $(VENV)/.installed-test
	ROUNDS=5 $(PY) -m pytest -s --timeout 600 tests/end_to_end/test_processes.py

# Long runs whose memory, open files and threads must stay as they are.
soak: $(VENV)/.installed-test
	SOAK=1 $(PY) -m pytest -s --timeout 7200 tests/soak

# Every training, test and picture of docs/explanation/evidence.md; what is done is not done again.
EVIDENCE := output/evidence
KEYPOINT := $(PY) -m keypoint.commands.main
EXPLAIN := $(KEYPOINT) explain --overwrite --site layer4 --keypoint left_ankle --box 131,37,84,243
SEEN := $(EVIDENCE)/persons/val2017/000000000168.jpg
evidence: $(VENV)/.installed
	$(KEYPOINT) make-person-data --output $(EVIDENCE)/persons
	$(KEYPOINT) make-clip-data --output output/echo
	$(KEYPOINT) sweep field.yaml --jobs 2 --resume
	$(KEYPOINT) sweep places.yaml --jobs 2 --resume
	$(KEYPOINT) sweep echo_blocks.yaml --jobs 2 --resume
	$(EXPLAIN) --checkpoint $(EVIDENCE)/field/nl/seed1/last.pt --output $(EVIDENCE)/seen/nl $(SEEN)
	$(EXPLAIN) --checkpoint $(EVIDENCE)/field/pnl/seed1/last.pt --output $(EVIDENCE)/seen/pnl $(SEEN)
	$(EXPLAIN) --checkpoint $(EVIDENCE)/field/srl_fft/seed1/last.pt --output $(EVIDENCE)/seen/srl_fft $(SEEN)
	$(PY) tools/evidence/write.py

# Every hostile input through every command that meets it, each in a process with limits of its own; figures in
# output/hostile/summary.json.
hostile: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 HOSTILE=all $(PY) -m pytest --timeout 3600 tests/hostile $(ARGS)

# FUZZ is a percentage: 100 is 128,000 annotation and box files, 110,000 configs, 27,000 checkpoints, 125,000 results.
FUZZ ?= 100
fuzz: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 FUZZ=$(FUZZ) $(PY) -m pytest --timeout 36000 tests/fuzz $(ARGS)

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# gradio and onnx, of the test extra, bring the types that the page and the export are checked with.
types: $(VENV)/.installed-test $(VENV)/.installed-dev
	$(PY) -m mypy

check: lint types test

# The site; a broken link or a page outside the navigation is an error.
docs: $(VENV)/.installed-docs
	$(PY) -m mkdocs build --strict

clean:
	rm -rf $(VENV) output/demo
