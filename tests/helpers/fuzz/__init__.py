"""Inputs made by machine, and what the command line makes of them: `python -m tests.helpers.fuzz` counts.

Each module makes the cases of one kind (`KINDS`): hypothesis strategies of values that are plain data. `judge` tries
a case in a folder of its own and says how it ended.
"""
