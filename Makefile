# The parts of the suite: `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: help demo study-131 browser test test-fast test-gpu bench lint docs clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

demo: .venv/installed  ## train, meter and rank seven models on lung nodules (4 minutes on two cores)
	$(BIN)/lightning-pepr demo

study-131: .venv/installed  ## train each of the paper's 131 architectures for an epoch on 256 nodules (an hour and a quarter of one core, 20 GB)
	OMP_NUM_THREADS=1 nice $(BIN)/lightning-pepr study --models paper --data lidc --image-size auto --epochs 1 \
		--train-samples 256 --eval-samples 64 --accelerator cpu --out study-131
	$(BIN)/python -m benchmarks.results study-131

lint: .venv/installed  ## ruff, mypy --strict, the layers of imports, and eslint where there is node
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if ! command -v npx >/dev/null; then \
		echo "lint: there is no node with npm here, so the JavaScript of the report page is NOT linted"; \
	elif ! npx --yes eslint@9 --version >/dev/null 2>&1; then \
		echo "lint: npm cannot get eslint here, so the JavaScript of the report page is NOT linted"; \
	else \
		echo npx --yes eslint@9 --max-warnings 0 lightning_pepr/report/assets; \
		npx --yes eslint@9 --max-warnings 0 lightning_pepr/report/assets; \
	fi

# Debian's and Ubuntu's package; elsewhere any Chromium or Chrome with its chromedriver on the PATH will do.
browser:  ## find Chromium for the tests of the report, or install it (apt, as root); without it they are skipped
	@if command -v chromedriver >/dev/null; then \
		echo "browser: $$(chromedriver --version)"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium chromium-driver >/dev/null; then \
		echo "browser: installed $$(chromedriver --version)"; \
	else \
		echo "browser: none was found or could be installed, so the tests of the report page in a browser are SKIPPED"; \
	fi

test: lint docs browser  ## everything, on the CPU
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not gpu and not alone"
	$(BIN)/pytest -m alone

test-fast: lint  ## the quick tests, in at most five minutes
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not gpu and not alone and not slow"

test-gpu:  ## the claims about measuring, on a real NVIDIA GPU (any python with CUDA torch and lightning)
	$(PYTHON) -m tests.gpu

# The other tools stay out of the project's environment, which theirs sees.
.venv-bench/installed: .venv/installed benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> "$$(.venv-bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	.venv-bench/bin/pip install --quiet -r benchmarks/requirements.txt
	@touch $@

bench: .venv-bench/installed  ## the tables of docs/benchmarks.md (25 minutes, on a machine that does nothing else)
	.venv-bench/bin/python -m benchmarks.energy_accuracy
	.venv-bench/bin/python -m benchmarks.overhead
	.venv-bench/bin/python -m benchmarks.long_runs
	.venv-bench/bin/python -m benchmarks.rank
	.venv-bench/bin/python -m benchmarks.study

docs: .venv/installed  ## build the site, strictly
	$(BIN)/mkdocs build --strict --quiet

clean:  ## remove what the targets above made
	rm -rf .venv .venv-bench site build dist
