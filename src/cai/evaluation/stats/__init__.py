"""The mathematics of evaluations: intervals, tests, ratings, calibration and sample sizes."""
