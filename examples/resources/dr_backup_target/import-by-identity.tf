import {
  to = dr_backup_target.docs
  identity = {
    engine     = "restic"
    connection = "local"
    scope      = "backup/docs"
    name       = "docs"
  }
}
