"""The random-features theory of memorization: spectrum, timescales and learning curves (numpy and scipy only)."""
