"""Tests of the cuda backend in the simulator."""
