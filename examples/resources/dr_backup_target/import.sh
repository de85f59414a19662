# <engine>:<connection>/<scope>/<name>; for a local folder the connection is `local`, and the scope is its path without the
# first slash. The repository has to be opened by one of the provider's secrets.
tofu import dr_backup_target.docs 'restic:local/backup/docs/docs'
