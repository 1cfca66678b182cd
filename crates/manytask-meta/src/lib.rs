//! Meta-learning: learners and episodic problems of manytask.
