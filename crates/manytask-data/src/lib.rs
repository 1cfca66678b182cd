//! Tables, images, episodes, splits and batches for manytask.
