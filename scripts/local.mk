## Scripts of ./dev; nothing of them is installed.
EXTRA_DIST += scripts/check scripts/demo scripts/deps scripts/distcheck scripts/format scripts/fuzz-smoke scripts/lint \
	scripts/lint-selftest scripts/rfc-map scripts/tree scripts/lsan.supp scripts/tsan.supp
EXTRA_DIST += doc
