//! Tensors, parameters as data, gradients, seeded randomness and checkpoints for manytask.
