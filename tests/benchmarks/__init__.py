"""Benchmarks, run by `make bench`. (A package, because opacus installs one of the same name.)"""
