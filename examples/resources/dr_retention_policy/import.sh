# By its name. A policy exists in configurations alone, so there is nothing to read its rules from: the plan after the import
# is an update that sets them.
tofu import dr_retention_policy.tiered tiered
