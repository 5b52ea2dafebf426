"""Inputs and checks that files of tests share: a module for each operation, one for networks."""
