resource "dr_backup_target" "docs" {
  name   = "docs"
  store  = { local = { path = "/backup/docs" } }
  restic = { password = "docs_repo" }
}

# Brings the folder back whenever it is missing or empty, and never twice.
resource "dr_restore_job" "docs" {
  name       = "docs"
  source     = dr_backup_target.docs.ref
  when       = "target_missing_or_empty"
  on_missing = "skip" # a first apply has nothing to restore
  restic     = { path = "/srv/docs" }
}

# No backup before the restore has had its say.
resource "dr_backup_job" "docs" {
  name   = "docs"
  target = dr_backup_target.docs.ref
  after  = dr_restore_job.docs.ref
  restic = { paths = ["/srv/docs"] }
}
