//! Every rule that binds a provider, over everything that this one serves, without a network: what is added later is
//! under test without a line written for it. Values that only one word or form fits are in the table of hints.

#[expect(dead_code, reason = "what speaks to a test's own resources is used by the framework's tests")]
#[path = "../../framework/tests/conformance/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use dr_framework::conformance::{
    Place, check_function, check_function_signature, check_import, check_schema, proposed_new_state,
};
use dr_framework::{AnyResource, Field, FieldKind, ImportBy, Model, Provider, Redactor, Server, Value};
use dr_resources::engines::restic::worker::{Worker, worker_main};
use dr_resources::engines::table::{self, Concept, EmptyProbe, HandOver, RetentionScope};
use dr_resources::provider::Dr;
use dr_resources::reference::Reference;
use dr_resources::shared::Shared;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use support::drive::{Reach, assert_keeps_the_rules, assert_schemas, context};
use support::{Hints, Tally, generate, wire as calls};
use tfplugin::v6::{decode_value, encode_value};
use tfplugin::wire::tfplugin6 as wire;
use tonic::Request;
use wire::provider_server::Provider as Rpc;

/// A world without anything: an empty folder, and a server.
struct Nowhere {
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// There, unless the server may be called.
    silent: Option<TcpListener>,
}

impl Nowhere {
    /// With a server that nobody should call.
    fn new() -> Self {
        let (listener, address) = listener();
        listener.set_nonblocking(true).expect("a listener that does not wait");
        Nowhere { folder: tempfile::tempdir().expect("a folder"), address, silent: Some(listener) }
    }

    /// With a server that allows nothing, whoever asks.
    fn forbidden() -> Self {
        let (listener, address) = listener();
        std::thread::spawn(move || listener.incoming().try_for_each(|stream| refuse(stream?)));
        Nowhere { folder: tempfile::tempdir().expect("a folder"), address, silent: None }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nobody called the server, if it is silent, and nothing was written.
    fn assert_untouched(&self) {
        if let Some(listener) = &self.silent {
            let called = listener.accept();
            assert!(
                called.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
                "somebody called the server"
            );
        }
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).expect("the folder").collect();
        assert!(left.is_empty(), "something was written: {left:?}");
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Answers one request, whatever it asks.
fn refuse(mut stream: std::net::TcpStream) -> std::io::Result<()> {
    let mut head: Vec<u8> = Vec::new();
    let mut chunk = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        head.extend(&chunk[..read]);
    }
    let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}"#;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Value> {
    texts.map(Value::string).into()
}

/// An object with these attributes, and nothing in the others.
fn object(fields: &[Field], given: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut object: std::collections::BTreeMap<_, _> =
        fields.iter().map(|field| (field.name.clone(), Value::Null)).collect();
    object.extend(given.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(object)
}

fn nested<'a>(fields: &'a [Field], name: &str) -> Option<&'a [Field]> {
    fields.iter().find(|field| field.name == name)?.nested().map(|(_, fields)| fields)
}

/// A reference to something of an engine, as its targets and jobs export it.
fn reference(nowhere: &Nowhere, kind: &str, engine: &str) -> Value {
    let fields = Reference::fields();
    let on_a_server = engine != "restic";
    let path = nowhere.path("store");
    let place = match on_a_server {
        true => vec![("kind", "s3"), ("connection", "main"), ("bucket", "backups"), ("prefix", "docs")],
        false => vec![("kind", "local"), ("connection", "local"), ("path", path.as_str())],
    };
    let place = place.into_iter().map(|(name, value)| (name, Value::string(value)));
    let (connection, scope) =
        if on_a_server { ("prod", "docs") } else { ("local", path.as_str().trim_start_matches('/')) };
    object(
        &fields,
        [
            ("kind", Value::string(kind)),
            ("engine", Value::string(engine)),
            ("connection", Value::string(connection)),
            ("scope", Value::string(scope)),
            ("name", Value::string("docs")),
            ("store", nested(&fields, "store").map_or(Value::Null, |store| object(store, place))),
            ("secret", Value::string("main")),
            ("access", Value::string("read_write")),
        ],
    )
}

/// What a resource with a block of an engine takes, by the names of attributes.
fn hints(nowhere: &Nowhere, fields: &[Field], engine: &str) -> Hints {
    let mut hints = Hints::from([
        ("name", texts(["docs", "a-1"])),
        ("password", texts(["main"])),
        ("repository_password", texts(["main"])),
        // What is only written is in no state, and a version without it is refused.
        ("password_wo", vec![Value::Null]),
        ("password_wo_version", vec![Value::Null]),
        ("credentials_wo", vec![Value::Null]),
        ("credentials_wo_version", vec![Value::Null]),
        ("lock_wait", texts(["5m", "90s"])),
        ("rto", texts(["4h"])),
        ("access", texts(["read_write", "read_only"])),
        ("deletion_policy", texts(["keep", "delete", "prevent"])),
        ("adopt", texts(["if_compatible", "never", "always"])),
        ("target_state", texts(["present", "missing", "empty"])),
        ("when", texts(["target_missing", "target_missing_or_empty", "always"])),
        ("on_missing", texts(["fail", "skip"])),
        ("on_failure", texts(["stay_quiesced", "resume", "roll_back"])),
        ("on_unreadable", texts(["fail", "warn"])),
        ("first_backup", texts(["refuse", "allow"])),
        ("extra", texts(["keep", "delete"])),
        ("verify", texts(["none", "structure", "data"])),
        ("at", texts(["2026-01-02T03:04:05Z"])),
        ("keep_within", texts(["1y5m7d2h", "7d"])),
        ("path", vec![Value::string(nowhere.path("data"))]),
        ("to", vec![Value::string(nowhere.path("elsewhere"))]),
        ("bucket", texts(["my-bucket"])),
        ("prefix", texts(["a/b"])),
        ("create", texts(["10m"])),
        ("update", texts(["10m"])),
        ("read", texts(["10m"])),
        ("delete", texts(["10m"])),
        ("paths", vec![Value::List(vec![Value::string(nowhere.path("data"))])]),
        ("on", vec![Value::set(texts(["create", "triggers"])), Value::set(texts(["destroy"]))]),
        ("engine", texts([engine])),
        ("source", vec![reference(nowhere, "backup_target", engine)]),
        ("target", vec![reference(nowhere, "backup_target", engine)]),
        ("after", vec![reference(nowhere, "restore_job", engine)]),
        ("copy_method", texts(["Direct", "Snapshot", "Clone"])),
        ("pvc", texts(["data"])),
        ("source_pvc", texts(["data"])),
        ("capacity", texts(["1Gi"])),
        ("cache_capacity", texts(["1Gi"])),
        ("access_modes", vec![Value::List(texts(["ReadWriteOnce", "ReadOnlyMany"]))]),
        ("cache_access_modes", vec![Value::Null, Value::List(texts(["ReadWriteMany"]))]),
        ("cluster", texts(["prod"])),
        ("namespace", texts(["velero", "docs"])),
        ("cron", texts(["0 2 * * *", "*/15 * * * 1-5"])),
        ("time_zone", texts(["Europe/Berlin", "UTC"])),
        ("csi_snapshot_timeout", texts(["10m", "600s"])),
        ("item_operation_timeout", texts(["4h"])),
        ("ttl", texts(["720h", "48h0m0s"])),
        ("backup_sync_period", texts(["1m"])),
        ("validation_frequency", texts(["1m"])),
        ("existing_resource_policy", texts(["none", "update"])),
        ("existing_claims", texts(["refuse", "delete"])),
        ("included_namespaces", vec![Value::List(texts(["docs"]))]),
        ("excluded_namespaces", vec![Value::List(texts(["kube-system"]))]),
        ("scale_down", vec![Value::List(texts(["deployment/paperless"]))]),
        ("suspend", vec![Value::List(texts(["kustomization/apps", "argocd/application/paperless"]))]),
    ]);
    let exists = [("key", Value::string("app")), ("operator", Value::string("Exists")), ("values", Value::Null)];
    let exists = Value::Object(exists.map(|(name, value)| (name.to_owned(), value)).into());
    hints.insert("match_expressions", vec![Value::Null, Value::List(vec![exists])]);
    let elsewhere = Value::Map([("docs".to_owned(), Value::string("docs-test"))].into());
    hints.insert("namespace_mapping", vec![Value::Null, elsewhere]);
    // Filters of which one kind or the other is taken.
    for name in [
        "included_cluster_scoped_resources",
        "excluded_cluster_scoped_resources",
        "included_namespace_scoped_resources",
        "excluded_namespace_scoped_resources",
        "or_label_selectors",
    ] {
        hints.insert(name, vec![Value::Null]);
    }
    for name in ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "limit"] {
        hints.insert(name, vec![Value::Number(3_i64.into()), Value::Number(40_i64.into())]);
    }
    if let Some(store) = nested(fields, "store")
        && let Some(local) = nested(store, "local")
    {
        // Many places: two targets that differ and write to one place are refused.
        let place = |number: usize| match engine {
            "restic" => {
                let path = Value::string(nowhere.path(&format!("store-{number}")));
                object(store, [("local", object(local, [("path", path)]))])
            }
            _ => {
                let prefix = Value::string(format!("store-{number}"));
                let credentials = if number.is_multiple_of(2) { Value::string("main") } else { Value::Null };
                let s3 = [("s3", Value::string("main")), ("bucket", Value::string("backups")), ("prefix", prefix)];
                object(store, s3.into_iter().chain([("credentials", credentials)]))
            }
        };
        hints.insert("store", (0..100).map(place).collect());
    }
    if let Some(keep) = nested(fields, "retention") {
        let keeps = |name, value| vec![object(keep, [(name, value)])];
        // One for all: two policies on one schedule, or on one namespace, are refused.
        let retention = match engine {
            "velero" => keeps("keep_within", Value::string("7d")),
            _ => keeps("keep_daily", Value::Number(7_i64.into())),
        };
        hints.insert("retention", retention);
    }
    if let Some(point) = nested(fields, "recovery_point") {
        let points = [("at", "2026-01-02T03:04:05Z"), ("id", "4f2a")];
        hints.insert("recovery_point", points.map(|(name, text)| object(point, [(name, Value::string(text))])).into());
    }
    // What hands over takes other arguments than what restores.
    hints.insert("perform", vec![Value::Null, Value::Bool(true)]);
    let has = |name: &str| fields.iter().any(|field| field.name == name);
    let is_schedule = has("cron");
    // A backup job whose last backup is taken on destroy does not delete it.
    if engine != "restic" || has("protects") {
        hints.insert("deletion_policy", texts(["keep", "prevent"]));
        if !is_schedule {
            hints.insert("retention", vec![Value::Null]);
        }
    }
    if is_schedule {
        // One schedule for all: what prunes a repository belongs to one.
        hints.insert("name", texts(["docs"]));
    }
    match engine {
        // Nothing is taken down around a path.
        "restic" => {
            hints.insert("quiesce", vec![Value::Null]);
        }
        "k8up" => {
            let fields = fields.iter().find(|field| field.name == "k8up").and_then(Field::nested);
            let prune = fields.and_then(|(_, k8up)| nested(k8up, "prune").map(<[Field]>::to_vec));
            if let Some(prune) = prune {
                hints.insert("prune", vec![object(&prune, [("cron", Value::string("0 5 * * *"))])]);
            }
            if let Some(archive) = fields.and_then(|(_, k8up)| nested(k8up, "archive").map(<[Field]>::to_vec)) {
                let words = [("cron", "0 6 * * 0"), ("s3", "main"), ("bucket", "archives"), ("credentials", "main")];
                let archive = object(&archive, words.map(|(name, word)| (name, Value::string(word))));
                hints.insert("archive", vec![Value::Null, archive]);
            }
            if fields.is_some_and(|(_, k8up)| nested(k8up, "s3").is_some()) {
                // A claim is filled instead.
                hints.insert("s3", vec![Value::Null]);
            }
        }
        "volsync" => {
            hints.insert("time_zone", vec![Value::Null]);
            if fields.iter().any(|field| field.name == "perform") {
                hints.insert("volume_snapshot_class_name", vec![Value::Null]);
            }
        }
        _ => {}
    }
    hints
}

async fn configured(nowhere: &Nowhere) -> Server<Dr> {
    let redactor = Redactor::default();
    let mut shared = Shared::new(redactor.clone());
    // A provider starts itself as its worker; this program is one by that test.
    let this = std::env::current_exe().expect("this program");
    shared.worker = Worker::at(this, ["--exact", "as_a_worker", "--ignored", "--nocapture"]);
    let server = Server::new(Dr::sharing(shared), redactor);
    configure(&server, nowhere).await;
    server
}

#[test]
#[ignore = "other tests start it as their worker"]
fn as_a_worker() {
    assert_eq!(format!("{:?}", worker_main()), format!("{:?}", std::process::ExitCode::SUCCESS));
}

async fn configure(server: &Server<Dr>, nowhere: &Nowhere) {
    let fields = <Dr as Provider>::Config::fields();
    let connection = nested(&fields, "s3").map_or(Value::Null, |s3| {
        object(
            s3,
            [
                ("endpoint", Value::string(nowhere.endpoint())),
                ("access_key_id", Value::string("key")),
                ("secret_access_key", Value::string("correct horse")),
            ],
        )
    });
    let map = |value| Value::Map([("main".to_owned(), value)].into());
    let cluster = nested(&fields, "kubernetes").map_or(Value::Null, |kubernetes| {
        object(kubernetes, [("host", Value::string(nowhere.endpoint())), ("token", Value::string("horse battery"))])
    });
    let clusters = Value::Map(["prod", "default"].map(|name| (name.to_owned(), cluster.clone())).into());
    let config = object(
        &fields,
        [("s3", map(connection)), ("secrets", map(Value::string("battery:staple"))), ("kubernetes", clusters)],
    );
    let message = encode_value(&config, &calls::object_type(&fields)).expect("it fits");
    let found = calls::call_provider(server, message).await;
    assert!(found.is_empty(), "{found:#?}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

#[test]
fn every_schema_loads() {
    let nowhere = Nowhere::new();
    let server = runtime().block_on(configured(&nowhere));
    assert_eq!(check_schema(&server.config_schema(), Place::Provider), []);
    assert!(server.resources().count() > 0);
    server.resources().for_each(assert_schemas);
    for source in server.data_sources() {
        assert_eq!(check_schema(&source.schema(), Place::DataSource), [], "{}", source.type_name());
    }
    for function in server.functions() {
        assert_eq!(check_function_signature(function.name(), &function.signature()), [], "{}", function.name());
    }
}

/// The engines whose blocks a resource takes; one name that no engine has for a resource without any.
fn engines(resource: &dyn AnyResource) -> Vec<String> {
    let blocks = resource.fields().iter().filter(|field| field.one_of == Some("engine"));
    let names: Vec<_> = blocks.map(|field| field.name.clone()).collect();
    if names.is_empty() { vec!["restic".to_owned()] } else { names }
}

/// The concepts that are resources with blocks of engines.
const RESOURCES: [(Concept, &str); 4] = [
    (Concept::Target, "dr_backup_target"),
    (Concept::Schedule, "dr_backup_schedule"),
    (Concept::Backup, "dr_backup_job"),
    (Concept::Restore, "dr_restore_job"),
];

#[test]
fn the_engine_table_names_the_engines_that_the_schemas_take() {
    let nowhere = Nowhere::new();
    let server = runtime().block_on(configured(&nowhere));
    for (concept, name) in RESOURCES {
        let resource = server.resources().find(|resource| resource.type_name() == name).expect("it is served");
        let (mut taken, mut told) = (engines(resource), table::with(concept));
        told.retain(|engine| *engine != "toy");
        taken.sort();
        told.sort_unstable();
        assert_eq!(taken, told, "{name}");
    }
    for engine in table::ENGINES.iter().filter(|engine| engine.name != "toy") {
        let listed = dr_resources::engines::point_source(engine.name).is_some();
        assert_eq!(listed, engine.has(Concept::Points), "{}: dr_recovery_points", engine.name);
    }
}

/// The shortest configuration with a block of an engine: what is required, and what is given.
fn shortest(fields: &[Field], engine: &str, hints: &Hints, given: &[(&'static str, Value)]) -> Value {
    let value = |field: &Field| {
        if let Some((_, value)) = given.iter().find(|(name, _)| *name == field.name) {
            return value.clone();
        }
        let chosen = field.one_of.is_some_and(|_| field.name == engine);
        if !field.required && !chosen {
            return Value::Null;
        }
        let hinted = hints.get(field.name.as_str()).and_then(|values| values.first());
        match (hinted, field.nested()) {
            (Some(hinted), _) => hinted.clone(),
            (None, Some((_, inner))) => shortest(inner, engine, hints, &[]),
            (None, None) => Value::string("docs"),
        }
    };
    Value::Object(fields.iter().map(|field| (field.name.clone(), value(field))).collect())
}

#[test]
fn what_the_engine_table_rules_out_is_refused_and_nothing_else() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    // Whether validation has that to say to the shortest configuration with these arguments.
    let says = |name: &str, engine: &str, summary: &str, given: &[(&'static str, Value)]| {
        let resource = server.resources().find(|resource| resource.type_name() == name).expect("it is served");
        let config = shortest(resource.fields(), engine, &hints(&nowhere, resource.fields(), engine), given);
        let found = runtime.block_on(resource.validate(&context(), &config));
        let known = ["Missing", "Invalid", "Exactly one"];
        let broken = found.0.iter().find(|diagnostic| known.iter().any(|word| diagnostic.summary.contains(word)));
        assert_eq!(broken, None, "{name} with {engine} is not judged at all");
        found.0.iter().any(|diagnostic| diagnostic.summary == summary)
    };
    for engine in table::ENGINES.iter().filter(|engine| engine.name != "toy") {
        let name = engine.name;
        let target = server.resources().find(|resource| resource.type_name() == "dr_backup_target");
        let keep = nested(target.expect("it is served").fields(), "retention").map(<[Field]>::to_vec);
        let keep = object(&keep.expect("a policy"), [("keep_daily", Value::Number(7_i64.into()))]);
        let refused = says("dr_backup_target", name, "Retention belongs to the schedule", &[("retention", keep)]);
        assert_eq!(refused, engine.retention_scope != RetentionScope::Target, "{name}: retention of a target");

        let empty = [("when", Value::string("target_missing_or_empty"))];
        let refused = says("dr_restore_job", name, "It can't be told whether the target is empty", &empty);
        assert_eq!(refused, engine.empty_probe == EmptyProbe::None, "{name}: emptiness");

        let refused = says("dr_restore_job", name, "Nothing to hand over", &[("perform", Value::Bool(false))]);
        assert_eq!(refused, engine.hand_over == HandOver::None, "{name}: a hand-over");

        let delete = [("deletion_policy", Value::string("delete"))];
        let refused = says("dr_backup_job", name, "One backup can't be deleted", &delete);
        assert_eq!(refused, !engine.removes_one_backup, "{name}: one backup");
    }
}

/// Plans generated lives of every resource with every engine, as far as `reach`.
fn plan_all(nowhere: &Nowhere, reach: Reach) {
    let cells: Vec<_> = {
        let server = runtime().block_on(configured(nowhere));
        let cells = |resource: &dyn AnyResource| {
            let name = resource.type_name().to_owned();
            engines(resource).into_iter().map(move |engine| (name.clone(), engine))
        };
        server.resources().flat_map(cells).collect()
    };
    for (name, engine) in cells {
        println!("{name} with {engine}:");
        // Clients live in one runtime.
        let server = runtime().block_on(configured(nowhere));
        let resource = server.resources().find(|resource| resource.type_name() == name).expect("it is served");
        let hints = hints(nowhere, resource.fields(), &engine);
        // What one life claims is refused to a few that follow, and no more; to forget it takes time.
        let lives = std::cell::Cell::new(0_u32);
        let anew = async || {
            lives.set(lives.get() + 1);
            if lives.get().is_multiple_of(10) {
                configure(&server, nowhere).await;
            }
        };
        assert_keeps_the_rules(resource, &hints, reach, 100, anew);
        nowhere.assert_untouched();
    }
}

#[test]
fn every_new_resource_is_planned_by_the_rules_and_touches_nothing() {
    plan_all(&Nowhere::new(), Reach::New);
}

#[test]
fn every_stored_resource_is_planned_by_the_rules_and_writes_nothing() {
    plan_all(&Nowhere::forbidden(), Reach::Stored);
}

#[test]
fn a_retention_policy_lives_by_the_rules_from_create_to_destroy() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    let policy = server.resources().find(|resource| resource.type_name() == "dr_retention_policy");
    let policy = policy.expect("it is served");
    let hints = hints(&nowhere, policy.fields(), "restic");
    assert_keeps_the_rules(policy, &hints, Reach::Applies, 300, async || {});
    nowhere.assert_untouched();
}

#[test]
fn a_repository_in_a_folder_lives_by_the_rules_from_create_to_destroy() {
    let nowhere = Nowhere::new();
    let server = runtime().block_on(configured(&nowhere));
    let target = server.resources().find(|resource| resource.type_name() == "dr_backup_target");
    let target = target.expect("it is served");
    let mut hints = hints(&nowhere, target.fields(), "restic");
    // What is only read has to be there, and what is prevented from going stays.
    hints.insert("access", vec![Value::Null, Value::string("read_write")]);
    hints.insert("deletion_policy", texts(["keep", "delete"]));
    hints.insert("expect_server_uid", vec![Value::Null]);
    // Its place is its identity: a target that moves, which it may, is another one from then on.
    hints.insert("name", texts(["docs"]));
    hints.get_mut("store").expect("places").truncate(1);
    // Each life has what it claims for itself.
    let anew = async || configure(&server, &nowhere).await;
    assert_keeps_the_rules(target, &hints, Reach::Works, 40, anew);
    assert!(nowhere.silent.as_ref().is_some_and(|server| server.accept().is_err()), "somebody called the server");
}

#[test]
fn a_state_without_an_engine_has_an_identity_while_the_place_is_open() {
    let nowhere = Nowhere::new();
    let runtime = runtime();
    let server = runtime.block_on(configured(&nowhere));
    let target = server.resources().find(|resource| resource.type_name() == "dr_backup_target").expect("it is served");
    let fields = target.fields();
    let (store, restic) = (nested(fields, "store").expect("a store"), nested(fields, "restic").expect("an engine"));
    let local = nested(store, "local").expect("a folder");
    let place = |local| object(store, [("local", local)]);
    let known = place(object(local, [("path", Value::string("/srv/old"))]));
    let prior = object(fields, [("name", Value::string("docs")), ("store", known)]);
    let config = object(
        fields,
        [
            ("name", Value::string("docs")),
            ("store", place(Value::unknown())),
            ("restic", object(restic, [("password", Value::string("main"))])),
        ],
    );
    let proposed = proposed_new_state(&target.schema(), &prior, &config);
    let planned = runtime.block_on(target.plan(&context(), &prior, &config, &proposed)).expect("a plan");
    assert!(planned.identity.is_some_and(|identity| identity.is_wholly_known()));
}

#[test]
fn every_data_source_judges_by_the_rules_and_touches_nothing() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    for source in server.data_sources() {
        let tally = std::cell::RefCell::new(Tally::default());
        let config = generate::config(source.fields(), &hints(&nowhere, source.fields(), "restic"));
        let dice = proptest::collection::vec(any::<u8>(), 0..24);
        let outcome = runner(150).run(&(config, dice), |(config, dice)| {
            let found = runtime.block_on(source.validate(&context(), &config));
            if found.has_errors() {
                tally.borrow_mut().refuse(&found);
                return Ok(());
            }
            tally.borrow_mut().taken += 1;
            let blurred = generate::blurred(source.fields(), &config, &dice, 7);
            let found = runtime.block_on(source.validate(&context(), &blurred));
            prop_assert!(!found.has_errors(), "valid when it is known, but not yet: {:?} {blurred:?}", found.0);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", source.type_name());
        }
        tally.into_inner().assert_enough(source.type_name(), 15);
    }
    nowhere.assert_untouched();
}

#[test]
fn recovery_points_behind_what_is_unknown_are_listed_later_where_the_client_waits() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let in_a_folder = reference(&nowhere, "backup_target", "restic");
    let mut in_a_bucket = in_a_folder.clone();
    if let (Value::Object(leaves), Value::Object(others)) =
        (&mut in_a_bucket, reference(&nowhere, "backup_target", "velero"))
    {
        leaves.extend(others.into_iter().filter(|(name, _)| ["store", "connection", "scope"].contains(&name.as_str())));
    }
    let secrets = Value::Map([("main".to_owned(), Value::string("battery:staple"))].into());
    for (source, secrets, s3) in
        [(in_a_folder, Value::unknown(), Value::Null), (in_a_bucket, secrets, Value::unknown())]
    {
        let redactor = Redactor::default();
        let server = Server::new(Dr::new(redactor.clone()), redactor);
        let settings = <Dr as Provider>::Config::fields();
        let block = object(&settings, [("secrets", secrets), ("s3", s3)]);
        let message = encode_value(&block, &calls::object_type(&settings)).expect("it fits");
        assert_eq!(runtime.block_on(calls::call_provider(&server, message)), []);

        let points = server.data_sources().find(|source| source.type_name() == "dr_recovery_points");
        let points = points.expect("it is served");
        let config = object(points.fields(), [("source", source)]);
        let config = encode_value(&config, &calls::object_type(points.fields())).expect("it fits");
        let ask = |deferral_allowed| {
            let request = wire::read_data_source::Request {
                type_name: points.type_name().to_owned(),
                config: Some(config.clone()),
                client_capabilities: Some(wire::ClientCapabilities { deferral_allowed, ..Default::default() }),
                ..Default::default()
            };
            runtime.block_on(server.read_data_source(Request::new(request))).expect("an answer").into_inner()
        };
        let later = ask(true);
        let reason = later.deferred.map(|deferred| deferred.reason());
        assert_eq!(reason, Some(wire::deferred::Reason::ProviderConfigUnknown));
        assert_eq!(later.diagnostics, []);
        let now = ask(false);
        assert_eq!(now.deferred, None);
        assert_eq!(now.diagnostics.len(), 1, "{:#?}", now.diagnostics);
        assert_eq!(now.diagnostics[0].summary, "The source is not known yet");
    }
    nowhere.assert_untouched();
}

#[test]
fn the_provider_block_is_not_judged_by_what_is_not_known_yet() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    let fields = <Dr as Provider>::Config::fields();
    let hints = Hints::from([
        ("endpoint", vec![Value::string(nowhere.endpoint())]),
        ("mode", texts(["normal", "drill"])),
        ("path", vec![Value::string(nowhere.path("drill"))]),
    ]);
    let taken = std::cell::Cell::new(0);
    let judge = |config: &Value| {
        let message = encode_value(config, &calls::object_type(&fields)).expect("it fits");
        let request = wire::validate_provider_config::Request { config: Some(message) };
        let answer = runtime.block_on(server.validate_provider_config(Request::new(request)));
        answer.expect("an answer").into_inner().diagnostics
    };
    let strategy = (generate::config(&fields, &hints), proptest::collection::vec(any::<u8>(), 1..24));
    let outcome = runner(400).run(&strategy, |(config, dice)| {
        if judge(&config).is_empty() {
            taken.set(taken.get() + 1);
            let blurred = generate::blurred(&fields, &config, &dice, 5);
            let found = judge(&blurred);
            prop_assert!(found.is_empty(), "valid when it is known, but not yet: {found:?} {blurred:?}");
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(taken.get() > 40, "only {} were taken", taken.get());
    nowhere.assert_untouched();
}

#[test]
fn no_bytes_make_the_provider_panic() {
    // A stored object whose cluster is left out is read from the connection `default`.
    let (nowhere, runtime) = (Nowhere::forbidden(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    for resource in server.resources() {
        let ty = calls::object_type(resource.fields());
        // Without hints nothing gets as far as an apply.
        let message = || calls::messages(generate::state(resource.fields(), &Hints::new()), ty.clone()).boxed();
        let outcome = runner(40).run(&[message(), message(), message()], |[config, prior, proposed]| {
            for proposed in [proposed, wire::DynamicValue::default()] {
                let found = calls::call_reads(&server, resource, [config.clone(), prior.clone(), proposed]);
                calls::without_panics(&runtime.block_on(found))?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", resource.type_name());
        }
    }
    nowhere.assert_untouched();
}

#[test]
fn an_import_of_nothing_is_an_error_or_keeps_the_rules_and_touches_nothing() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    for resource in server.resources() {
        for id in ["", "/", "x", "a/b/c/d/e", "restic:local:", "\u{0}", "no such thing"] {
            let imported = runtime.block_on(resource.import(&context(), ImportBy::Id(id.to_owned())));
            match imported {
                Err(found) => assert!(found.has_errors(), "{}: {id:?}: {found:?}", resource.type_name()),
                // A record that exists in configurations only is taken over by its name.
                Ok(stored) => {
                    let imported = [(resource.type_name().to_owned(), stored.state)];
                    assert_eq!(check_import(resource.type_name(), &resource.schema(), &imported), [], "{id:?}");
                    assert_ne!(id, "", "{}: a name is needed", resource.type_name());
                }
            }
        }
    }
    nowhere.assert_untouched();
}

/// A state as the CLI stores it: JSON, without the attributes in `missing`, with one that is gone today.
fn stored(resource: &dyn AnyResource, state: &Value, missing: usize) -> Vec<u8> {
    let text =
        tfplugin::json::encode(state, &calls::object_type(resource.fields())).expect("a state has a form in JSON");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let object = json.as_object_mut().expect("an object");
    let optional: Vec<_> = resource.fields().iter().filter(|field| !field.required).map(|field| &field.name).collect();
    if let Some(name) = optional.get(missing % (optional.len() + 1)) {
        object.remove(name.as_str());
    }
    object.insert("gone_today".into(), serde_json::json!({ "a": [1, "b"] }));
    json.to_string().into_bytes()
}

#[test]
fn a_stored_state_with_missing_and_removed_attributes_is_read_by_the_rules() {
    let (nowhere, runtime) = (Nowhere::new(), runtime());
    let server = runtime.block_on(configured(&nowhere));
    for resource in server.resources() {
        let engine = engines(resource).swap_remove(0);
        let hints = hints(&nowhere, resource.fields(), &engine);
        let strategy = (generate::state(resource.fields(), &hints), any::<usize>());
        let outcome = runner(60).run(&strategy, |(state, missing)| {
            let request = wire::upgrade_resource_state::Request {
                type_name: resource.type_name().to_owned(),
                version: resource.schema().version,
                raw_state: Some(wire::RawState { json: stored(resource, &state, missing), ..Default::default() }),
            };
            let answer =
                runtime.block_on(server.upgrade_resource_state(Request::new(request))).expect("an answer").into_inner();
            prop_assert!(answer.diagnostics.is_empty(), "{:?}", answer.diagnostics);
            let ty = calls::object_type(resource.fields());
            let upgraded = decode_value(answer.upgraded_state.as_ref(), &ty).expect("it fits");
            let found = dr_framework::conformance::check_upgrade(&resource.schema(), &upgraded);
            prop_assert!(found.is_empty(), "{found:?}");
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", resource.type_name());
        }
    }
    nowhere.assert_untouched();
}

#[test]
fn functions_are_pure_and_keep_their_types() {
    let nowhere = Nowhere::new();
    let server = runtime().block_on(configured(&nowhere));
    for function in server.functions() {
        let signature = function.signature();
        let argument = |parameter: &tfplugin::Parameter| {
            let field = Field { required: true, ..Field::new("it", FieldKind::Value(parameter.ty.clone()), "") };
            generate::config(&[field], &Hints::new()).prop_map(|value| match value {
                Value::Object(mut object) => object.remove("it").unwrap_or(Value::Null),
                other => other,
            })
        };
        let arguments: Vec<_> = signature.parameters.iter().map(argument).collect();
        let outcome = runner(100).run(&arguments, |arguments| {
            let (first, second) = (function.call(&arguments), function.call(&arguments));
            prop_assert_eq!(&first, &second);
            match first {
                Ok(result) => {
                    let found = check_function(&signature, &result, &second.unwrap_or(Value::Null));
                    prop_assert!(found.is_empty(), "{found:?}");
                    prop_assert!(encode_value(&result, &signature.result).is_ok());
                }
                Err(error) => {
                    prop_assert!(error.argument.is_none_or(|argument| argument < arguments.len()), "{error:?}");
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", function.name());
        }
    }
    nowhere.assert_untouched();
}

/// What is said about the folder of the tests holds for them.
#[test]
fn a_touched_world_is_noticed() {
    let nowhere = Nowhere::new();
    nowhere.assert_untouched();
    std::fs::write(Path::new(&nowhere.path("x")), "x").expect("a file");
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| nowhere.assert_untouched())).is_err());
    let called = Nowhere::new();
    let _connection = std::net::TcpStream::connect(called.address).expect("a connection");
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| called.assert_untouched())).is_err());
}
