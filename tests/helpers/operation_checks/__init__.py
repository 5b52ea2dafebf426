"""Inputs and checks shared by several test files: one module for each operation, one for networks."""
