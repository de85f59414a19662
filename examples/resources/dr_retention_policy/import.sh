# By its name. A policy exists in configurations alone: the next apply takes its rules from there.
tofu import dr_retention_policy.tiered tiered
