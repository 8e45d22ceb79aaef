# Thin: each target is one command that you can run yourself. `make help` lists them.
# Given as `make up ENV=prod`; a shell's own ENV names a file that it starts with.
ENV := dev
RPS := 50
SECONDS := 30
PYTHON ?= python3
# -E: whatever PYTHON… variables a shell has set, for other work, they do not reach ours.
RUN := .venv/bin/python -E

.DEFAULT_GOAL := help
.PHONY: help up machine down status load pin-base-image test test-all unit lint scan requirements bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24
	@echo "  ENV=$(ENV) names the environment, a folder in config/"

up: machine .venv/installed ## Launch the environment on the embedded AWS and show that it answers
	@$(RUN) -m spotfleet up $(ENV)

machine: # Before the half minute of installation, not after it.
	@PYTHON=$(PYTHON) tools/check_machine.sh $(ENV)

down: .venv/installed ## Delete the environment, stop the embedded AWS, leave nothing
	@$(RUN) -m spotfleet down $(ENV)

status: .venv/installed ## Show stacks, image, machines, tasks and URL
	@$(RUN) -m spotfleet status $(ENV)

load: .venv/installed ## Send requests to the service: RPS per second for SECONDS seconds
	@$(RUN) -m spotfleet load $(ENV) --rps $(RPS) --seconds $(SECONDS)

pin-base-image: .venv/installed ## Pin the base images to what their registries have now, so that fixes arrive
	@$(RUN) -m tools.pin_base_image

test: unit ## Run every test, launch and delete included
	$(RUN) -m pytest -m "(e2e or matrix) and not alone" --numprocesses 4 --dist loadfile --no-loadscope-reorder
	$(RUN) -m pytest -m alone

test-all: ## Run everything that says whether the project is right, as .ci/run does
	$(MAKE) --jobs 2 --output-sync lint scan
	$(MAKE) test

unit: .venv/installed ## Run the fast tests, which need no Docker
	$(RUN) -m pytest -m "not e2e and not matrix" --numprocesses 2 --dist loadfile

lint: .venv/installed ## Check templates of every environment, Python, types, Dockerfile
	$(RUN) -m tools.lint_templates
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/hadolint Dockerfile

scan: .venv/installed build/scanners/installed ## Scan the templates of every environment, and the image with what is in it
	$(RUN) -m tools.scan_templates
	$(RUN) -m tools.scan_image

requirements: ## Pin what the requirements.in name, with hashes, after you have edited one
	@test -x .venv/bin/uv || $(MAKE) .venv/installed
	@tools/pin_requirements.sh

bench: .venv/installed ## Measure the service beside the article's application and other frameworks
	@$(RUN) -m bench

clean: down ## Also remove what make installed here
	rm -rf .venv .local build

.venv/installed: requirements.txt requirements-dev.txt $(wildcard service/requirements.txt) pyproject.toml
	@PYTHON=$(PYTHON) tools/make_venv.sh

build/scanners/installed: requirements-scan.txt
	@echo "Installing the pinned scanners into build/scanners (once; about a minute)"
	@$(PYTHON) -m venv --clear build/scanners
	@build/scanners/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-scan.txt
	@touch $@
