//! Multi-task learning: tasks, aggregators and the training loop of manytask.
