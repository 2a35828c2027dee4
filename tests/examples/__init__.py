"""Programs that show how something is done; tests/test_examples.py runs them."""
