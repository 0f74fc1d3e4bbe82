"""What is timed or counted, against what: each prints a table and most write it as csv."""
