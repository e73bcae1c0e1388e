"""The papers' tables and figures: the numbers that they print, and ours beside them."""
