# The commands of this project. `make test` is what CI runs; see tests/tools/steps.sh for what is in it.

.DEFAULT_GOAL := help
.PHONY: help run test prove bench static dist docs chaos tools clean-tools

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Build and start the chat on http://127.0.0.1:8080
	cargo run --release

test: ## Everything that must hold: format, lints, docs, every test (installs by itself what is missing)
	@bash tests/tools/steps.sh test

prove: ## The long tier, before a release: fuzzing, long property tests, the suite over and over, the benches' figures
	@bash tests/tools/steps.sh prove

bench: ## The load bench with its defaults (cargo bench --bench load -- --help lists the rest)
	cargo bench --bench load

static: ## Build the static binary for this machine's architecture, small and with all optimizations, and say where it is
	@bash packaging/static.sh

dist: ## Make what is handed out, in target/dist: the static binary, licences, list of parts (SBOM), checksums
	@bash packaging/dist.sh

docs: ## Write the README's tables of settings and metrics anew, from the code
	UPDATE_DOCS=1 cargo test --test suite -- docs::

chaos: ## Break instances and stream at random, half of five minutes over https, and check every message (SECONDS=, SEED=)
	cargo test --test chaos -- --seconds $$(( $(or $(SECONDS),300) / 2 )) $(if $(SEED),--seed $(SEED))
	cargo test --test chaos -- --seconds $$(( $(or $(SECONDS),300) / 2 )) $(if $(SEED),--seed $(SEED)) --tls

tools: ## Install what the tests need and nothing else
	@bash tests/tools/install.sh

clean-tools: ## Remove what the tests installed into .tools
	rm -rf .tools
