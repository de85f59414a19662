import {
  to = dr_backup_schedule.daily
  identity = {
    engine     = "velero"
    connection = "prod"
    scope      = "velero"
    name       = "daily"
  }
}
