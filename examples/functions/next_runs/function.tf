# The next three runs of a nightly schedule, across the change to summer time.
output "next_runs" {
  value = provider::dr::next_runs("30 2 * * *", "2026-03-28T00:00:00Z", 3, "Europe/Berlin")
}
