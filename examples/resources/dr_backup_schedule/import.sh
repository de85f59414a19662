# <engine>:<connection>/<scope>/<name>; the scope is the namespace of the engine.
tofu import dr_backup_schedule.daily 'velero:prod/velero/daily'
