"""Few-shot semantic segmentation in JAX."""
