"""What the runs of a figure of the study say of its claims."""
