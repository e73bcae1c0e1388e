"""fsjax timed against PyTorch on equal work; see `__main__`."""
