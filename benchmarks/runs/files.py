"""Names of the files of a run folder, of a sweep and of an export; `analysis` reads them too."""

SPEC_FILE = "spec.json"
RECORDS_FILE = "episodes.csv"
FINAL_FILE = "final.csv"  # records of the split "final", written once by `safedreamer publish`
METRICS_FILE = "metrics.jsonl"
STATUS_FILE = "status.json"
ATTEMPTS_FILE = "attempts.jsonl"
CHECKPOINTS = "checkpoints"
REPLAY = "replay"
LOCK_FILE = "run.lock"
OWNER_FILE = "owner.json"

SWEEP_FILE = "sweep.json"

# written by runs, sweeps and `publish` alone: never the output of another command
OF_A_RUN = frozenset(
    (
        *(SPEC_FILE, RECORDS_FILE, FINAL_FILE, METRICS_FILE, STATUS_FILE, ATTEMPTS_FILE),
        *(CHECKPOINTS, REPLAY, LOCK_FILE, OWNER_FILE, SWEEP_FILE),
    )
)
# in a results folder: the runs of its suites, written by `safedreamer publish`
WANTED_FILE = "wanted.csv"
# in a results folder: trials of each method before its runs, and their seeds; written by hand
TRIALS_FILE = "trials.csv"
RUNS_KEY = b"safedreamer.runs"  # in the metadata of an export's schema: JSON, one object per run

STRESS_RECORDS_FILE = "stress.csv"
# next to it: prediction errors of the world models on these episodes, if there are any
STRESS_ERRORS_FILE = "prediction_errors.csv"
STRESS_FILE = "stress.json"  # next to it: the test's settings, and the cost limit of each run
OF_A_STRESS_TEST = frozenset((STRESS_RECORDS_FILE, STRESS_ERRORS_FILE, STRESS_FILE))
