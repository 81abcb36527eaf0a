"""Published scores, as data. No score here is ours; every row names its source.

`omnisafe_published.csv`: the numeric tables of OmniSafe's documentation and two console samples of
SafePO; mean and standard deviation.
`safety_gym_scores.csv`: score files of the LAMBDA repository: LAMBDA, CEM-MPC, and the PPO,
PPO-Lagrangian, TRPO-Lagrangian and CPO of Ray et al. (2019) on the old Safety-Gym, whose tasks
Safety-Gymnasium re-creates; `cost_rate` is total cost / total steps.
`safedreamer_published.csv`: scores of SafeDreamer's variants from public material; read its notes,
since several rows are weak evidence.
`references.csv`: unconstrained PPO per task, the rows of the first two files that normalised
metrics divide by (`analysis.statistics.references`).
"""
