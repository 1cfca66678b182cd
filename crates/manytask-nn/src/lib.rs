//! Layers, networks, losses, metrics, functional optimizers and schedules for manytask.
