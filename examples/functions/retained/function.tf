# Which of these backups a policy keeps.
output "retained" {
  value = provider::dr::retained(
    "restic",
    { keep_last = 1, keep_monthly = 2 },
    ["2026-01-31T03:00:00Z", "2026-02-28T03:00:00Z", "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"],
    null,
  )
}
