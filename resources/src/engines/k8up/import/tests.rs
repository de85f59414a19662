use serde_json::json;

use super::*;

fn connection(endpoint: &str, engines: Option<&str>) -> S3Connection {
    S3Connection {
        endpoint: Some(endpoint.to_owned()),
        engine_endpoint: engines.map(str::to_owned),
        ..S3Connection::default()
    }
}

fn location(endpoint: &str, bucket: &str) -> Location {
    Location { endpoint: endpoint.to_owned(), bucket: bucket.to_owned() }
}

/// A Schedule as k8up leaves it there.
fn spec() -> Value {
    let key = |key: &str| json!({ "name": "dr-wiki", "key": key });
    json!({
        "backend": {
            "repoPasswordSecretRef": key("password"),
            "s3": {
                "endpoint": "https://minio:9000/",
                "bucket": "k8up/wiki/",
                "accessKeyIDSecretRef": key("access_key_id"),
                "secretAccessKeySecretRef": key("secret_access_key"),
            },
        },
        "backup": {
            "schedule": "TZ=Europe/Berlin 0 2 * * *",
            "tags": ["nightly"],
            "labelSelectors": [{ "matchLabels": { "app": "wiki" } }],
            "failedJobsHistoryLimit": 0,
            "concurrentRunsAllowed": true,
            "resources": {},
        },
        "prune": {
            "schedule": "CRON_TZ=Europe/Berlin 0 5 * * 0",
            "failedJobsHistoryLimit": 0,
            "retention": { "keepLast": 3, "keepDaily": 7 },
            "resources": {},
        },
        "check": { "schedule": "CRON_TZ=Europe/Berlin @weekly", "failedJobsHistoryLimit": 0, "resources": {} },
        "podSecurityContext": { "runAsUser": 0 },
        "podConfigRef": { "name": "pods" },
        "resourceRequirementsTemplate": { "limits": { "memory": "1Gi" } },
    })
}

/// The fields of a spec that the schedule which is imported of it does not say.
fn lost(spec: &Value) -> Vec<String> {
    let (time_zone, cron) = lines(spec, "it").expect("a line");
    let keep = line_of(spec, "prune").map(|_| keep(&spec["prune"]["retention"]));
    let keep = keep.map(|keep| keep.keep(&Path::default()).expect("a policy").expect("a known one"));
    let target = crate::reference::Reference::default();
    let arguments = ScheduleArguments {
        name: "nightly",
        target: &target,
        cron: &cron,
        time_zone: time_zone.as_deref(),
        keep: keep.as_ref(),
        paused: false,
    };
    let backend = backend::render(&connection("https://minio:9000", None), "k8up", "wiki", &Opener::in_one("dr-wiki"));
    let block = K8upSchedule::imported(spec, Attr::Null);
    unsaid(spec, &block.body(&arguments, &backend, None)["spec"])
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = spec();
    change(&mut spec);
    spec
}

#[test]
fn a_location_leads_to_the_connection_where_pods_reach_it() {
    let known = [
        ("outside".to_owned(), connection("https://nas:9000/", None)),
        ("inside".to_owned(), connection("https://nas:9001", Some("http://minio.storage.svc:9000/"))),
    ];
    let place = |endpoint: &str, bucket: &str| location(endpoint, bucket).place(&known).map(|(place, _)| place);
    let expected = |connection: &str, prefix: &str| {
        let [connection, bucket, prefix] = [connection, "k8up", prefix].map(str::to_owned);
        Some(Place::S3 { connection, bucket, prefix })
    };
    assert_eq!(place("https://nas:9000", "k8up/a/b"), expected("outside", "a/b"));
    assert_eq!(place("http://minio.storage.svc:9000", "k8up"), expected("inside", ""));
    for (endpoint, bucket) in [("https://nas:9001", "k8up"), ("https://nas:9000", ""), ("", "")] {
        assert_eq!(place(endpoint, bucket), None, "{endpoint} {bucket}");
    }
}

#[test]
fn a_repository_is_where_the_objects_say_that_open_it() {
    let here = location("https://minio:9000", "k8up/wiki");
    assert_eq!(locations(&spec(), "dr-wiki"), vec![here.clone()]);
    assert_eq!(locations(&spec(), "theirs"), Vec::new());
    // A kind of runs takes from the Schedule what its own backend leaves out.
    let elsewhere = changed(|spec| spec["check"]["backend"] = json!({ "s3": { "bucket": "other" } }));
    let other = location("https://minio:9000", "other");
    assert_eq!(locations(&elsewhere, "dr-wiki"), vec![here.clone(), other.clone()]);
    let safety = changed(|spec| spec["backend"]["s3"]["bucket"] = "k8up/wiki.dr/safety".into());
    assert_eq!(locations(&safety, "dr-wiki"), Vec::new(), "a safety backup is no repository of a target's");

    let by = |location: &Location, by: &str| (location.clone(), by.to_owned());
    assert_eq!(agreed(Vec::new(), "it").unwrap(), None);
    let same = vec![by(&here, "Schedule wiki/a"), by(&here, "Schedule wiki/b")];
    assert_eq!(agreed(same, "it").unwrap(), Some(by(&here, "Schedule wiki/a")));
    let two = vec![by(&here, "Schedule wiki/a"), by(&other, "Schedule wiki/b")];
    let refused = agreed(two, "Secret wiki/dr-wiki").unwrap_err();
    insta::assert_snapshot!(refused.0[0].detail, @"Schedule wiki/a and Schedule wiki/b open repositories in two places with the password of Secret wiki/dr-wiki, and a target has one: make them agree, or give each a Secret of its own.");
}

#[test]
fn a_schedule_that_was_read_renders_as_it_was() {
    assert_eq!(lost(&spec()), Vec::<String>::new());
    let told = changed(|spec| {
        spec["backup"]["promURL"] = "http://push".into();
        spec["backup"]["statsURL"] = "http://stats".into();
    });
    assert_eq!(lost(&told), Vec::<String>::new());
    let (zone, cron) = lines(&spec(), "it").unwrap();
    assert_eq!((zone.as_deref(), cron.as_str()), (Some("Europe/Berlin"), "0 2 * * *"));
    // Without a zone it is that of k8up's container, and UTC afterwards.
    let plain = changed(|spec| {
        for runs in ["backup", "prune", "check"] {
            spec[runs]["schedule"] = "@daily".into();
        }
    });
    assert_eq!((lines(&plain, "it").unwrap().0, lost(&plain)), (None, Vec::new()));
}

#[test]
fn what_a_schedule_does_not_say_is_named_by_its_field() {
    let cases: [(&str, Value); 11] = [
        ("/backup/activeDeadlineSeconds", 60.into()),
        ("/backup/keepJobs", 2.into()),
        ("/backup/podConfigRef", json!({ "name": "other" })),
        ("/check/concurrentRunsAllowed", true.into()),
        ("/check/failedJobsHistoryLimit", 5.into()),
        ("/prune/schedule", "CRON_TZ=UTC 0 5 * * 0".into()),
        ("/prune/retention/keepTags", json!(["a"])),
        ("/restore", json!({ "schedule": "@daily" })),
        ("/backend/envFrom", json!([{ "secretRef": { "name": "more" } }])),
        ("/backend/s3/accessKeyIDSecretRef", json!({ "name": "theirs", "key": "access_key_id" })),
        ("/failedJobsHistoryLimit", 4.into()),
    ];
    let mut named = Vec::new();
    for (field, value) in cases {
        let (parent, name) = field.rsplit_once('/').unwrap();
        named.extend(lost(&changed(|spec| spec.pointer_mut(parent).unwrap()[name] = value)));
    }
    insta::assert_snapshot!(named.join("\n"), @r"
    backup.activeDeadlineSeconds
    backup.keepJobs
    backup.podConfigRef.name
    check.concurrentRunsAllowed
    check.failedJobsHistoryLimit
    prune.schedule
    prune.retention.keepTags
    restore.schedule
    backend.envFrom
    backend.s3.accessKeyIDSecretRef.name
    failedJobsHistoryLimit
    ");
    let expressions = json!([{ "matchExpressions": [{ "key": "a", "operator": "Exists" }] }]);
    let selected = changed(|spec| spec["backup"]["labelSelectors"] = expressions);
    assert_eq!(lost(&selected), ["backup.labelSelectors"]);
}

#[test]
fn a_line_that_can_not_be_said_and_one_that_is_not_there_are_refused() {
    let detail = |spec: &Value| lines(spec, "Schedule wiki/nightly").unwrap_err().0[0].detail.clone();
    let random = changed(|spec| spec["check"]["schedule"] = "@daily-random".into());
    assert!(detail(&random).starts_with("`spec.check.schedule` of Schedule wiki/nightly can't be said here:"));
    for nothing in [Value::Null, json!({ "resources": {} })] {
        let resting = changed(|spec| spec["backup"] = nothing);
        assert!(detail(&resting).starts_with("Schedule wiki/nightly has no `spec.backup`"));
    }
}

#[test]
fn k8up_keeps_fourteen_days_when_nobody_says_a_number() {
    let expected = KeepModel { keep_last: Attr::Known(3), keep_daily: Attr::Known(7), ..KeepModel::default() };
    assert_eq!(keep(&json!({ "keepLast": 3, "keepDaily": 7, "keepWeekly": 0 })), expected);
    let usual = KeepModel { keep_daily: Attr::Known(14), ..KeepModel::default() };
    assert_eq!(keep(&Value::Null), usual);
    assert_eq!(keep(&json!({ "keepDaily": 0 })), usual);
}

#[test]
fn what_opens_the_repository_of_a_schedule_is_read_as_the_schedule_says_it() {
    assert_eq!(said_opener(&spec()["backend"], "dr-wiki"), Opener::in_one("dr-wiki"));
    let users = changed(|spec| {
        spec["backend"]["repoPasswordSecretRef"] = json!({ "name": "backup-repo", "key": "password" });
        spec["backend"]["s3"]["accessKeyIDSecretRef"] = json!({ "name": "objectstore", "key": "username" });
        spec["backend"]["s3"]["secretAccessKeySecretRef"] = json!({ "name": "objectstore", "key": "password" });
    });
    let opener = said_opener(&users["backend"], "backup-repo");
    let text = "backup-repo:password,objectstore:username,objectstore:password,backup-repo:ca.pem";
    assert_eq!(opener.to_string(), text);
    // What is rendered for it is what was read.
    let backend = backend::render(&connection("https://minio:9000/", None), "k8up", "wiki", &opener);
    for pointer in ["/repoPasswordSecretRef", "/s3/accessKeyIDSecretRef", "/s3/secretAccessKeySecretRef"] {
        assert_eq!(backend.spec.pointer(pointer), users["backend"].pointer(pointer), "{pointer}");
    }
}
