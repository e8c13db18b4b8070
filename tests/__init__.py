"""The test suite; a regular package, so that workers started afresh can import its modules."""
