"""Output to files and streams.

atomic   files that are written completely or not at all
html     tables and curves for notebooks
streams  streams that may be closed, full, or limited to ASCII
"""
