//! The manytask command and the library behind it.
