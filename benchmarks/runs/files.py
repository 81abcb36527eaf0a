"""Names of the files of a run folder, of a sweep and of an export; `analysis` reads them too."""

SPEC_FILE = "spec.json"
RECORDS_FILE = "episodes.csv"
FINAL_FILE = "final.csv"  # records of the split "final": `safedreamer publish` writes it once
METRICS_FILE = "metrics.jsonl"
STATUS_FILE = "status.json"
ATTEMPTS_FILE = "attempts.jsonl"
CHECKPOINTS = "checkpoints"
REPLAY = "replay"
LOCK_FILE = "run.lock"
OWNER_FILE = "owner.json"

SWEEP_FILE = "sweep.json"
# in a results folder: the runs that its suites ask for; `safedreamer publish` writes it
WANTED_FILE = "wanted.csv"
# in a results folder: how often each method was tried, on which seeds, before its runs; by hand
TRIALS_FILE = "trials.csv"
RUNS_KEY = b"safedreamer.runs"  # in the metadata of an export's schema: JSON, one object per run

STRESS_RECORDS_FILE = "stress.csv"
# beside it: how well the world models predicted what these episodes met, where there is one
STRESS_ERRORS_FILE = "prediction_errors.csv"
STRESS_FILE = "stress.json"  # beside it: what was asked for, and the cost limit of each run
