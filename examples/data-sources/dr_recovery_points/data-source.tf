resource "dr_backup_target" "docs" {
  name   = "docs"
  store  = { local = { path = "/backup/docs" } }
  restic = { password = "docs_repo" }
}

# What can be restored, newest first, from the storage itself.
data "dr_recovery_points" "docs" {
  source = dr_backup_target.docs.ref
  limit  = 10
}

output "newest" {
  value = try(data.dr_recovery_points.docs.points[0].time, null)
}
