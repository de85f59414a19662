# <engine>:<connection>/<scope>/<name>; for a local folder the connection is `local`, and the scope is its path without the
# first slash, and the repository has to be opened by one of the provider's secrets. With Velero the scope is the namespace of its
# server; with VolSync and k8up that of the claims, and the name is that of the repository's Secret without `dr-`, or
# <scope>/<Secret>/<name> for a Secret that something else makes.
tofu import dr_backup_target.docs 'restic:local/backup/docs/docs'
