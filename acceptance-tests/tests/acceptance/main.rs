//! What users do, through both CLIs, against real servers.

#[macro_use]
mod scene;

mod bad_input;
mod choices;
mod clusters;
mod disks;
mod docs;
mod drills;
mod examples;
mod foretold;
mod import;
mod install;
mod interrupts;
mod k8up;
mod k8up_engine;
mod kills;
mod kubernetes_connection;
mod kubernetes_servers;
mod lifecycle;
mod main_job;
mod quickstart;
mod rebuild;
mod refs;
mod requests;
mod restic;
mod s3;
mod scenarios;
mod secrets;
mod sharing;
mod state;
mod takeover;
mod unknown;
mod velero;
mod velero_engine;
mod velero_restore;
mod via;
mod volsync;
mod volsync_hand_over;
