# The longest time without a backup in a year, which an objective can be compared with.
output "max_gap" {
  value = provider::dr::max_gap("0 3 * * 1-5", "Europe/Berlin", 2026)
}
