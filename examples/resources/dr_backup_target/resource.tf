resource "dr_retention_policy" "tiered" {
  name       = "tiered"
  keep_daily = 7
}

# A repository in the restic format, in a folder.
resource "dr_backup_target" "docs" {
  name      = "docs"
  store     = { local = { path = "/backup/docs" } }
  retention = dr_retention_policy.tiered.keep
  restic    = { password = "docs_repo" }
}
