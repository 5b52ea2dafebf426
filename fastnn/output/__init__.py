"""Where results go.

atomic   files that are written whole or not at all
streams  terminals that may be closed, full, or limited to ASCII
"""
