# <engine>:<connection>/<scope>/<name>; the scope is the namespace: with Velero that of its server, with VolSync and k8up that of
# the claims.
tofu import dr_backup_schedule.daily 'velero:prod/velero/daily'
