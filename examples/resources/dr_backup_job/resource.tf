variable "release" {
  description = "Another value makes another backup."
  type        = string
  default     = "1"
}

resource "dr_backup_target" "docs" {
  name   = "docs"
  store  = { local = { path = "/backup/docs" } }
  restic = { password = "docs_repo" }
}

resource "dr_backup_job" "docs" {
  name     = "docs"
  target   = dr_backup_target.docs.ref
  triggers = { release = var.release }

  restic = {
    paths    = ["/srv/docs"]
    excludes = ["*.tmp"]
    tags     = ["docs"]
    host     = "nas"
  }
}
