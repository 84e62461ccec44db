# Every target is a line or two that you could type yourself; `make` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

# Chapters and notebooks are those that the table of contents lists: a new chapter is a folder and its lines there.
PAGES    := $(shell sed -n 's|^[- ]*file: *\(notebooks/[^ ]*\).*|\1|p' book/_toc.yml)
CHAPTERS := $(patsubst notebooks/%/index,%,$(filter %/index,$(PAGES)))
# Pages that are executed: all but the chapters' first.
PAGES_RUN := $(filter-out %/index,$(PAGES))
# Notebooks that belong to no chapter, such as your own video.
ALONE    := $(filter-out $(foreach name,$(CHAPTERS),notebooks/$(name)/%),$(PAGES))

# Chapters run side by side: their trainings share the cores, and what measures speed waits until it has them alone.
JOBS ?= $(words $(CHAPTERS))

PYTHON ?= python3.11
PY     := .venv/bin/python
INSTALLED := .venv/.installed
# What is built goes here; the library reads the same variable, and ACTIONBOOK_DATA and ACTIONBOOK_WORK.
BUILD := $(or $(ACTIONBOOK_BUILD),_build)
$(if $(word 2,$(BUILD)),$(error ACTIONBOOK_BUILD is $(BUILD): make cannot work with a space in its name))
# Notebooks are executed into this folder once, for the book and for the tests; those beside their sources are committed.
EXECUTED := $(BUILD)/executed
# Jupyter Book adds _build to the name of its output's folder.
HTML := $(if $(ACTIONBOOK_BUILD),$(BUILD)/)_build/html
# What the records become, included by the book's pages.
GENERATED := $(if $(ACTIONBOOK_BUILD),$(BUILD)/generated,book/_generated)
# What every notebook rests on: a change in any of these runs all of them again.
SHARED := $(INSTALLED) $(wildcard data_manifests/*.yaml) \
          $(shell find lib/actionbook -name '*.py' -not -name '.tmp-*' 2>/dev/null)

.PHONY: help install pages pdf book notebooks accept test check format bench stress lock release clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## put the pinned environment into .venv

# What the machine itself has to bring is checked before a gigabyte is fetched, and said at once where it is missing.
# The last line also makes matplotlib's list of fonts, which would otherwise be announced in the middle of a notebook.
$(INSTALLED): requirements.txt pyproject.toml
	@python="$(PYTHON)"; lacks=""; \
	if ! command -v "$$python" >/dev/null; then \
		echo "Python 3.11 is needed and $$python is not found: install it, or name one with make PYTHON=/path/to/python3.11" >&2; \
		lacks=" python3.11-venv libgomp1"; \
	elif ! "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then \
		echo "Python 3.11 is needed and $$python is another: name one with make PYTHON=/path/to/python3.11" >&2; exit 1; \
	else \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || lacks="$$lacks python3.11-venv"; \
		"$$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || lacks="$$lacks libgomp1"; \
	fi; \
	if [ -n "$$lacks" ]; then echo "The environment cannot be made here; on Debian and Ubuntu: apt-get install$$lacks" >&2; exit 1; fi
	"$(PYTHON)" -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@GLOG_v=3 $(PY) -c 'import actionbook, mindspore, matplotlib.font_manager' || { echo "MindSpore does not load on this machine: the last line above says why" >&2; exit 1; }
	@touch $@

# What an interrupted rendering has left would stand in the way of the next.
define render  # what the command's environment gets
@rm -rf $(HTML)
$(1) .venv/bin/jupyter-book build . --config _config.yml --toc book/_toc.yml --path-output $(or $(ACTIONBOOK_BUILD),.) --all -W -n --keep-going --quiet
@echo "The book is ready: open $(if $(filter /%,$(HTML)),,$(CURDIR)/)$(HTML)/index.html"
endef
pages: $(INSTALLED) ## render the committed notebooks and their records into _build/html: a first look, nothing is run
	$(PY) -m actionbook.results.pages --accepted --out $(GENERATED)
	$(call render)

# Without a sandbox, which the user root has none of: Chromium sees this one page and nothing else. The time is for MathJax.
CHROMIUM ?= $(firstword $(shell command -v google-chrome chromium chromium-browser))
SINGLE   := $(HTML:/html=/singlehtml)
pdf: $(INSTALLED) ## print the committed notebooks into _build/book.pdf, with the Chromium of this machine
	@[ -n "$(CHROMIUM)" ] || { echo "make pdf needs Chromium: install it, or name it with make pdf CHROMIUM=/path/to/it" >&2; exit 1; }
	$(PY) -m actionbook.results.pages --accepted --out $(GENERATED)
	@rm -rf $(SINGLE)
	.venv/bin/jupyter-book build . --config _config.yml --toc book/_toc.yml --path-output $(or $(ACTIONBOOK_BUILD),.) --builder singlehtml --all -W -n --keep-going --quiet
	@cp $(SINGLE)/book/intro.html $(SINGLE)/whole.html  # its links begin at the folder above
	"$(CHROMIUM)" --headless --no-sandbox --disable-gpu --no-pdf-header-footer --virtual-time-budget=60000 \
		--print-to-pdf=$(BUILD)/book.pdf "file://$(abspath $(SINGLE))/whole.html"

book: $(INSTALLED) ## run what is stale and render the book into _build/html
	@$(MAKE) --no-print-directory --jobs=$(JOBS) notebooks
	$(PY) -m actionbook.results.pages --out $(GENERATED)
	$(call render,ACTIONBOOK_EXECUTED=$(EXECUTED))

notebooks: ## run the notebooks that are stale into _build/executed, chapter by chapter
accept: ## make what was executed, and its records, the committed notebooks
	$(PY) -m actionbook.notebooks accept notebooks

test: $(INSTALLED) ## run the tests, then compare every executed notebook with the committed one
	$(PY) -m pytest -n 2 --dist worksteal tests
	@$(MAKE) --no-print-directory --jobs=$(JOBS) notebooks
	$(PY) -m pytest -p no:xdist -p no:cacheprovider --nbval --executed $(EXECUTED) --nbval-sanitize-with tests/nbval_sanitize.cfg $(PAGES_RUN:%=%.ipynb)

check: $(INSTALLED) ## lint, types, pairs of notebooks, width of code, citation file
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy lib/actionbook
	$(PY) -m actionbook.notebooks check notebooks book
	$(PY) -m pytest -q tests/test_book.py -k citation

format: $(INSTALLED) ## mend layout and what the linter can mend
	$(PY) -m ruff check --fix --extend-exclude '*.ipynb' .
	$(PY) -m ruff format .

bench: $(INSTALLED) ## measure speed against peers, as ratios within one run
	$(PY) -m bench

stress: $(INSTALLED) ## kill each stage at random moments; CLIPS=folder of videos: also prepare as many as UCF101 has
	$(PY) tests/stress kill
	$(if $(CLIPS),$(PY) tests/stress scale --clips "$(CLIPS)")

# Ascend servers are aarch64: the same versions have to resolve there. Needs uv.
RESOLVE := uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header requirements.in
lock: ## rewrite requirements.txt from requirements.in, for x86_64 and aarch64
	$(RESOLVE) --python-platform x86_64-manylinux_2_28 -o requirements.txt
	@mkdir -p _build && cp requirements.txt _build/requirements-aarch64.txt
	$(RESOLVE) --python-platform aarch64-manylinux_2_28 -o _build/requirements-aarch64.txt
	diff requirements.txt _build/requirements-aarch64.txt

# The same checkout and pages give the same bytes, whoever packs them and when.
RELEASE := $(BUILD)/release
TAR := tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --create
RECORDS := $(wildcard notebooks/*/record book/evidence) book/published data_manifests
release: ## gather the rendered book, lock, records and digests into _build/release
	@[ -f $(HTML)/index.html ] || { echo "make release takes the pages that are rendered: run make book or make pages first" >&2; exit 1; }
	@rm -rf $(RELEASE) && mkdir -p $(RELEASE)
	$(TAR) --directory $(HTML) . | gzip --no-name > $(RELEASE)/book.tar.gz
	$(TAR) $(RECORDS) | gzip --no-name > $(RELEASE)/records.tar.gz
	cp requirements.txt CITATION.cff codecheck.yml LICENSE $(RELEASE)
	sha256sum data_manifests/*.yaml > $(RELEASE)/manifests.sha256
	cd $(RELEASE) && sha256sum * > SHA256SUMS

clean: ## remove what was built; work/, runs/ and .venv stay
	rm -rf $(if $(ACTIONBOOK_BUILD),$(HTML:/html=) $(EXECUTED) $(BUILD)/failed $(BUILD)/book.pdf,_build) $(GENERATED) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find lib tests notebooks -name __pycache__ -prune -exec rm -rf {} +

executed = $(patsubst notebooks/%,$(EXECUTED)/%.ipynb,$(1))
stages = $(filter notebooks/$(1)/0%,$(PAGES))
beside = $(filter-out notebooks/$(1)/index $(call stages,$(1)),$(filter notebooks/$(1)/%,$(PAGES)))
before = $(if $(filter $(1),$(firstword $(2))),$(3),$(call before,$(1),$(wordlist 2,$(words $(2)),$(2)),$(firstword $(2))))

define notebook  # its source without .md, what else it rests on
notebooks: $(call executed,$(1))
$(call executed,$(1)): $(1).md $(2) $(SHARED)
	$(PY) -m actionbook.notebooks execute -o $$@ $$<

endef
# A stage rests on the recipes and on the stage before it; a page beside the stages on published figures; one that
# stands alone on the first chapter's network.
define chapter
$(foreach page,$(call stages,$(1)),$(call notebook,$(page),$(wildcard notebooks/$(1)/recipes/*.yaml) $(call executed,$(call before,$(page),$(call stages,$(1))))))
$(foreach page,$(call beside,$(1)),$(call notebook,$(page),$(wildcard book/published/*.yaml)))
endef
$(foreach name,$(CHAPTERS),$(eval $(call chapter,$(name))))
$(foreach page,$(ALONE),$(eval $(call notebook,$(page),$(call executed,$(lastword $(call stages,$(firstword $(CHAPTERS))))))))
