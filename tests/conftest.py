"""One thread a test process: the suite runs on as many processes as there are cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for every process the tests start
