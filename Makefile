# Every target sets up what it needs; a set-up that is up to date takes a fraction of a second.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help boundaries setup wheel demo simulation campaign test appliance appliance-drill appliance-down restore scan upgrades molecule vm vm-down lint ansible-lint format types native-test bench lock lock-base release release-demo dashboards stubs clean

WITHIN := app/setup/within.sh
# What the hosts of a lab are given, and what a playbook wants to see before it begins.
HAVE_RELEASE = compgen -G 'dist/*.oci.tar' >/dev/null || $(MAKE) --no-print-directory release >&2
BENCH ?= all
DEMO_OPTIONS = $(if $(DURATION),--duration $(DURATION)) $(if $(SESSION),--session "$(SESSION)") \
	$(if $(SPEED),--speed $(SPEED)) $(if $(filter-out 0,$(JSON)),--json)

CAMPAIGN_OPTIONS = $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(PARALLEL),--parallel $(PARALLEL)) \
	$(if $(filter-out 0,$(JSON)),--json)

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is needed (system packages, .venv, native module); idempotent.
	@app/setup/setup.sh

demo: setup ## Trade on the simulated venue, live in the terminal. DURATION=30 JSON=1 SESSION=DIR SPEED=max
	@$(WITHIN) holdfast demo $(DEMO_OPTIONS)

simulation: setup ## Run every service in simulated time under faults. SEEDS=1000 SEED=1 JSON=1 LOGS=1
	@$(WITHIN) env PYTHONHASHSEED=0 holdfast simulate --seeds $(or $(SEEDS),1000) --seed $(or $(SEED),1) \
		$(if $(filter-out 0,$(LOGS)),--logs) $(if $(filter-out 0,$(JSON)),--json)

campaign: setup ## Trade under faults and crashes, again and again, and judge. RUNS=40 SEED=1 JSON=1 PARALLEL=4
	@$(WITHIN) holdfast campaign $(CAMPAIGN_OPTIONS)

test: ## Run every check: lint, types, native tests, Python tests. The summary comes last.
	@app/setup/setup.sh lints servers roles
	@$(WITHIN) python app/setup/checks.py

boundaries: setup ## Print every risk rule at its boundary: the limit passes, the next unit is denied.
	@$(WITHIN) python tests/boundaries.py

appliance: ## Boot a Debian host, provision it, let it trade on a simulated venue beside it. JSON=1
	@app/setup/setup.sh lab
	@$(HAVE_RELEASE)
	@$(WITHIN) python -m lab appliance $(if $(filter-out 0,$(JSON)),--json)

appliance-drill: ## Kill PostgreSQL, the recorder and Prometheus there, fill the logs' disk: who hears of it? JSON=1
	@$(WITHIN) python -m lab drill appliance $(if $(filter-out 0,$(JSON)),--json)

appliance-down: ## End and remove what `make appliance` booted.
	@$(WITHIN) python -m lab down appliance

restore: ## Lose a trading host and go on with another one from its backups, in a lab. MINUTES=10 JSON=1
	@app/setup/setup.sh lab
	@$(HAVE_RELEASE)
	@$(WITHIN) python -m lab restore $(if $(MINUTES),--minutes $(MINUTES)) $(if $(filter-out 0,$(JSON)),--json)

scan: ## Try every port of four hosts from each other and outside, and after a reboot, against the matrix. JSON=1
	@app/setup/setup.sh lab
	@$(HAVE_RELEASE)
	@$(WITHIN) python -m lab scan $(if $(WHOLE),,--hosts-only) $(if $(filter-out 0,$(JSON)),--json)

molecule: ## Test roles, each on a host of its own: apply twice, reboot, look. ROLE=NAME SUITE=trixie JSON=1
	@app/setup/setup.sh lab
	@$(WITHIN) python -m lab molecule $(ROLE) $(if $(SUITE),--suite $(SUITE)) \
		$(if $(filter-out 0,$(JSON)),--json)

upgrades: ## Upgrade, failing upgrade, rollback, new secrets on a test host while it trades; a table. JSON=1
	@app/setup/setup.sh lab
	@$(HAVE_RELEASE)
	@$(WITHIN) python -m lab upgrades $(if $(filter-out 0,$(JSON)),--json)
	@$(WITHIN) python -m lab down upgrades

vm: ## Boot a virtual machine, provision it, prove what a container does not enforce: cores, limits, boot. JSON=1
	@app/setup/setup.sh vm
	@$(HAVE_RELEASE)
	@$(WITHIN) python -m lab vm $(if $(filter-out 0,$(JSON)),--json)

vm-down: ## End and remove what `make vm` booted.
	@$(WITHIN) python -m lab down vm

lint: ## Run the linters only.
	@app/setup/setup.sh lints
	@$(WITHIN) python app/setup/checks.py --only lint

ansible-lint: ## Check ansible/ and roles/ with ansible-lint's production profile (a minute).
	@app/setup/setup.sh ansible
	@PATH=$(CURDIR)/.venv/lab/bin:$$PATH ANSIBLE_LIBRARY=$(CURDIR)/ansible/library ansible-lint --offline -q

types: setup ## Check the types only.
	@$(WITHIN) python app/setup/checks.py --only types

native-test: setup ## Run the native core's tests only.
	@$(WITHIN) python app/setup/checks.py --only native

format: ## Format Python and Rust in place.
	@app/setup/setup.sh lints
	@$(WITHIN) ruff check --quiet --fix-only app tests
	@$(WITHIN) ruff format app tests
	@$(WITHIN) cargo fmt --manifest-path app/native/Cargo.toml --all

dashboards: setup ## Write the Grafana dashboards from app/setup/dashboards.py.
	@$(WITHIN) python app/setup/dashboards.py

stubs: setup ## Renew the generated part of the native module's stubs.
	@$(WITHIN) python app/native/stubs.py

wheel: setup ## Build the release wheel into dist/.
	@$(WITHIN) maturin build --release --locked --out dist

bench: ## Measure against the budgets and the peers. BENCH=NAME JSON=1
	@app/setup/setup.sh bench
	@$(WITHIN) env PYTHONPATH=app .venv/peers/bin/python -m holdfast bench $(BENCH) $(if $(filter-out 0,$(JSON)),--json)

release: ## Build, sign and deliver a release into dist/. CHECK=1 (rebuild all, compare) JSON=1 RELEASE_KEY=FILE
	@$(if $(filter-out 0,$(CHECK)),CHECK=1) $(if $(filter-out 0,$(JSON)),JSON=1) app/nix/release.sh

release-demo: ## The demo by the release in dist/, in a root directory that holds nothing else. DURATION=30
	@app/nix/checks/empty_root.sh --duration $(or $(DURATION),30)

lock-base: ## Pin the release's Debian base anew, and the wheels that the requirements name.
	@app/nix/lock.sh

lock: setup ## Pin the newest allowed versions of all dependencies by hash.
	@$(WITHIN) app/setup/lock.sh

clean: ## Remove what was built; the configuration and the state stay.
	rm -rf .venv dist app/native/target .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -f app/holdfast/_native*.so
	find app tests -name __pycache__ -type d -prune -exec rm -rf {} +
