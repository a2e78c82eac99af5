"""Rules changed while they run: what was deployed, from which log position on, with which state.

    base ── deploy, pause, roll back ──► base'        `base`: texts and modes, as a value
    recorded in the store as a deployment, with a number           `cep.store.deployments`
    each partition's engine takes it up between two steps          `rollout`
    fold of the old rules ──► fold of the new ones, same state     `switch`, `running`

The position at which a partition took a deployment up is written in the very commit that has the
first state of the new rules.  So what is detected depends on the log, the deployments and their
positions alone: a replay that is given these detects the same bytes.
"""
