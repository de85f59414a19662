import {
  to = dr_backup_target.docs
  id = "restic:local/backup/docs/docs"
}
