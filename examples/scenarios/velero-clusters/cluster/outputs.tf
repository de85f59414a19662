output "alert_rules" {
  value = { for name, schedule in dr_backup_schedule.daily : name => schedule.alert_rules }
}
