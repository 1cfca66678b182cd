//! Benchmarks of manytask, by layer.
