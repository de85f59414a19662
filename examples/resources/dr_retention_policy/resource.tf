resource "dr_retention_policy" "tiered" {
  name         = "tiered"
  keep_last    = 3
  keep_daily   = 7
  keep_weekly  = 5
  keep_monthly = 12
  keep_within  = "14d"
}

output "tiered" {
  value = dr_retention_policy.tiered.keep
}
