import {
  to = dr_backup_schedule.daily
  id = "velero:prod/velero/daily"
}
