//! Every error and every retry, against a server that answers what the test says.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicUsize;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;

use super::error::refused;
use super::send::Timing;
use super::*;

/// What was asked: the method, the path with its query, the body.
type Seen = Vec<(String, String, String)>;

#[test]
fn no_refusal_makes_its_reading_panic() {
    let causes =
        json!({ "causes": [{ "reason": "FieldManagerConflict", "field": ".spec", "message": "conflict with \"x\"" }] });
    let forbidden =
        "secrets is forbidden: User \"u\" cannot get resource \"secrets\" in API group \"\" in the namespace \"a\"";
    let examples = [
        status(403, "Forbidden", forbidden, json!({ "kind": "secrets", "name": "a" })),
        status(409, "Conflict", "Apply failed with 1 conflict", causes),
        status(422, "Invalid", "failed calling webhook \"a.b\": denied the request", json!({})),
        status(500, "InternalError", "failed calling webhook \"a.b\": no endpoints available for service", json!({})),
        answer(404, "404 page not found"),
    ];
    let bodies: Vec<&[u8]> = examples.iter().map(|example| example.body().as_slice()).collect();
    let asked = Asked {
        cluster: "prod",
        verb: "get",
        kind: &Kind::SECRET,
        namespace: "a",
        name: "b",
        part: "",
        applies: false,
    };
    for code in [400, 401, 403, 404, 409, 422, 500] {
        crate::noise::survives(&bodies, |body| refused(&asked, code, body).to_string());
    }
}

/// A server that answers in order; the last answer stays.
#[derive(Clone)]
struct Script(Arc<StdMutex<(Answers, Seen)>>);

type Answers = VecDeque<Response<Vec<u8>>>;

fn answer(status: u16, body: &str) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap()
}

/// A `Status`, as an API server says no.
fn status(code: u16, reason: &str, message: &str, details: Value) -> Response<Vec<u8>> {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message, "details": details });
    answer(code, &body.to_string())
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Response<Vec<u8>>>) -> Self {
        Script(Arc::new(StdMutex::new((answers.into_iter().collect(), Vec::new()))))
    }

    fn cluster(&self) -> Cluster {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let mut inner = script.0.lock().unwrap();
                let body = String::from_utf8_lossy(&body).into_owned();
                inner.1.push((parts.method.to_string(), parts.uri.to_string(), body));
                let answer = if inner.0.len() > 1 { inner.0.pop_front() } else { inner.0.front().cloned() };
                Ok::<_, std::convert::Infallible>(answer.unwrap().map(Body::from))
            }
        });
        quick(Line::new(
            "prod",
            Source::Client(kube::Client::new(service, "default")),
            Redactor::default(),
            WaitingSlots::default(),
        ))
    }

    fn seen(&self) -> Seen {
        self.0.lock().unwrap().1.clone()
    }
}

fn quick(mut line: Line) -> Cluster {
    let millis = Duration::from_millis;
    line.timing = Timing {
        reach: millis(300),
        look: millis(20),
        answer: millis(2000),
        busy: millis(200),
        pause: millis(40),
        backoff: millis(5),
    };
    Cluster::on(line, Unreachable::Fail)
}

static SCHEDULE: Kind = Kind::namespaced("velero.io", "v1", "Schedule", "schedules");

fn object(name: &str) -> Value {
    json!({ "apiVersion": "velero.io/v1", "kind": "Schedule", "metadata": { "name": name, "namespace": "velero" } })
}

/// The error that an answer to a GET becomes.
async fn refusal(answered: Response<Vec<u8>>) -> ClusterError {
    Script::new([answered]).cluster().get(&SCHEDULE, "velero", "daily").await.unwrap_err()
}

#[tokio::test]
async fn an_object_that_is_not_there_is_none_and_a_kind_that_is_not_served_is_an_error() {
    let missing = json!({ "name": "daily", "group": "velero.io", "kind": "schedules" });
    let gone = status(404, "NotFound", "schedules.velero.io \"daily\" not found", missing);
    let cluster = Script::new([gone]).cluster();
    assert!(cluster.get(&SCHEDULE, "velero", "daily").await.unwrap().is_none());
    assert!(!cluster.delete(&SCHEDULE, "velero", "daily", None).await.unwrap());
    let error = cluster.merge(&SCHEDULE, "velero", "daily", json!({}), None).await.unwrap_err();
    assert_eq!(error.to_string(), "Schedule velero/daily does not exist on cluster `prod`");
    let error = refusal(answer(404, "404 page not found\n")).await;
    assert_eq!(
        error.to_string(),
        "cluster `prod` does not know the kind Schedule of velero.io/v1: its CRD is not installed, or not in this version"
    );
}

/// A Service with one ready pod, as the first two answers to who asks for a tunnel.
fn way_to_a_pod() -> [Response<Vec<u8>>; 2] {
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "garage", "namespace": "storage" },
        "spec": { "ports": [{ "port": 3900 }] } });
    let slice = json!({ "metadata": { "name": "garage-1" }, "ports": [{ "name": "", "port": 9000 }],
        "endpoints": [{ "targetRef": { "kind": "Pod", "name": "garage-0" } }] });
    [answer(200, &service.to_string()), answer(200, &json!({ "items": [slice] }).to_string())]
}

async fn no_tunnel(answers: impl IntoIterator<Item = Response<Vec<u8>>>) -> (ClusterError, Seen) {
    let script = Script::new(answers);
    let service = "storage/garage:3900".parse().unwrap();
    let Err(error) = script.cluster().tunnel(&service).await else { panic!("a tunnel to nowhere") };
    (error, script.seen())
}

#[tokio::test]
async fn a_tunnel_is_asked_for_at_a_ready_pod_and_a_missing_right_prints_all_that_it_takes() {
    let [service, slices] = way_to_a_pod();
    // Seen from kube-apiserver 1.36.
    let refused =
        status(403, "Forbidden", "pods \"garage-0\" is forbidden: ", json!({ "name": "garage-0", "kind": "pods" }));
    let (error, seen) = no_tunnel([service, slices, refused]).await;
    insta::assert_snapshot!(error.to_string(), @r#"
    cluster `prod` forbids to create pods/portforward in namespace `storage`: pods "garage-0" is forbidden. A Role in namespace `storage` has to hold these rules:

    - apiGroups: [""]
      resources: ["services"]
      verbs: ["get"]
    - apiGroups: ["discovery.k8s.io"]
      resources: ["endpointslices"]
      verbs: ["list"]
    - apiGroups: [""]
      resources: ["pods/portforward"]
      verbs: ["get", "create"]
    "#);
    let paths: Vec<&str> = seen.iter().map(|(_, path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/api/v1/namespaces/storage/services/garage",
            "/apis/discovery.k8s.io/v1/namespaces/storage/endpointslices?limit=500&labelSelector=kubernetes.io%2Fservice-name%3Dgarage",
            "/api/v1/namespaces/storage/pods/garage-0/portforward?ports=9000",
        ]
    );
}

#[tokio::test]
async fn a_node_that_can_not_be_asked_is_not_waited_for_by_the_tunnel() {
    let [service, slices] = way_to_a_pod();
    let dialing = status(500, "InternalError", "error dialing backend: connection refused", json!({}));
    let (error, seen) = no_tunnel([service, slices, dialing]).await;
    assert!(matches!(error, ClusterError::Server { status: 500, .. }), "{error}");
    assert_eq!(seen.len(), 3, "the caller looks for another pod");
    let [service, slices] = way_to_a_pod();
    let (error, _) = no_tunnel([service, slices, answer(200, "{}")]).await;
    assert!(error.to_string().contains("did not change to the protocol of a tunnel"), "{error}");
}

#[tokio::test]
async fn a_missing_namespace_is_named() {
    let answered =
        status(404, "NotFound", "namespaces \"velero\" not found", json!({ "name": "velero", "kind": "namespaces" }));
    let error =
        Script::new([answered]).cluster().apply(&SCHEDULE, "velero", "daily", json!({}), false).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no namespace `velero` on cluster `prod`");
}

#[tokio::test]
async fn a_missing_right_prints_the_rule_that_gives_it() {
    let message = "schedules.velero.io \"daily\" is forbidden: User \"ada\" cannot patch resource \"schedules\" in API group \
                   \"velero.io\" in the namespace \"velero\"";
    let error = refusal(status(403, "Forbidden", message, json!({ "name": "daily", "kind": "schedules" }))).await;
    insta::assert_snapshot!(error.to_string(), @r#"
    cluster `prod` forbids to patch schedules in namespace `velero`: schedules.velero.io "daily" is forbidden: User "ada" cannot patch resource "schedules" in API group "velero.io" in the namespace "velero". A Role in namespace `velero` has to hold this rule:

    - apiGroups: ["velero.io"]
      resources: ["schedules"]
      verbs: ["patch"]
    "#);
    // What is applied is made where it is not there.
    let cluster = Script::new([status(403, "Forbidden", message, json!({}))]).cluster();
    let error = cluster.apply(&SCHEDULE, "velero", "daily", json!({}), false).await.unwrap_err().to_string();
    assert!(error.ends_with("  verbs: [\"create\", \"patch\"]\n"), "{error}");
    let message =
        "nodes is forbidden: User \"ada\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    let cluster = Script::new([status(403, "Forbidden", message, json!({}))]).cluster();
    let error = cluster.list(&Kind::NODE, None, None).await.unwrap_err().to_string();
    assert!(error.contains("cluster scope. A ClusterRole has to hold this rule:\n\n- apiGroups: [\"\"]\n"), "{error}");
    let message = "pods \"one\" is forbidden: User \"ada\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"docs\"";
    let cluster = Script::new([status(403, "Forbidden", message, json!({}))]).cluster();
    match cluster.pod_log("docs", "one", Some("restic"), 5).await.unwrap_err() {
        ClusterError::Forbidden(right) => assert_eq!(right.resource, "pods/log"),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_policy_that_says_no_is_no_missing_right() {
    let message = "schedules.velero.io \"daily\" is forbidden: unable to create new content in namespace velero because it is \
                   being terminated";
    let error = refusal(status(403, "Forbidden", message, json!({}))).await;
    assert_eq!(error.to_string(), format!("cluster `prod` refuses Schedule velero/daily: {message}"));
    let message = "admission webhook \"no.example.org\" denied the request: not on Fridays";
    let error = refusal(status(400, "BadRequest", message, json!({}))).await;
    assert!(matches!(error, ClusterError::Denied { .. }), "{error}");
}

#[tokio::test]
async fn a_field_of_somebody_else_names_the_owner() {
    let causes = json!({ "causes": [
        { "reason": "FieldManagerConflict", "field": ".spec.schedule",
          "message": "conflict with \"kubectl-edit\" using velero.io/v1" },
        { "reason": "FieldManagerConflict", "field": ".spec.paused", "message": "conflict with \"argocd\"" },
    ] });
    let script = Script::new([status(409, "Conflict", "Apply failed with 2 conflicts", causes)]);
    let cluster = script.cluster();
    let error = cluster.apply(&SCHEDULE, "velero", "daily", json!({ "spec": {} }), false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Schedule velero/daily on cluster `prod`: .spec.schedule belongs to \"kubectl-edit\", .spec.paused belongs to \
         \"argocd\". Set force_conflicts to take them over"
    );
    let _ = cluster.apply(&SCHEDULE, "velero", "daily", json!({}), true).await;
    let seen = script.seen();
    let path = "/apis/velero.io/v1/namespaces/velero/schedules/daily?fieldManager=terraform-provider-dr&fieldValidation=Strict";
    assert_eq!((seen[0].1.as_str(), seen[1].1.as_str()), (path, format!("{path}&force=true").as_str()));
    let body: Value = serde_json::from_str(&seen[0].2).unwrap();
    let mut expected = object("daily");
    expected["spec"] = json!({});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_exists_and_what_changed_are_told_apart() {
    let exists = status(409, "AlreadyExists", "schedules.velero.io \"daily\" already exists", json!({}));
    let error = Script::new([exists]).cluster().create(&SCHEDULE, "velero", object("daily")).await.unwrap_err();
    assert_eq!(error.to_string(), "Schedule velero/daily exists already on cluster `prod`");
    let message = "Operation cannot be fulfilled: the object has been modified";
    let cluster = Script::new([status(409, "Conflict", message, json!({}))]).cluster();
    let ours: DynamicObject = serde_json::from_value(object("daily")).unwrap();
    let error = cluster.replace(&SCHEDULE, "velero", &ours).await.unwrap_err();
    assert_eq!(error.to_string(), "Schedule velero/daily on cluster `prod` was changed by somebody else meanwhile");
    let error = cluster.delete(&SCHEDULE, "velero", "daily", Some("u")).await.unwrap_err();
    assert!(matches!(error, ClusterError::Changed { .. }));
}

#[tokio::test]
async fn what_the_installed_version_lacks_is_said_with_its_fields() {
    let causes = json!({ "causes": [{ "reason": "FieldValueInvalid", "message": "bad", "field": "spec.schedule" }] });
    let error = refusal(status(422, "Invalid", "Schedule \"daily\" is invalid: spec.schedule: bad", causes)).await;
    match &error {
        ClusterError::Invalid { fields, .. } => assert_eq!(fields, &["spec.schedule"]),
        error => panic!("{error}"),
    }
    let start = "cluster `prod` finds Schedule velero/daily invalid: Schedule \"daily\" is invalid";
    assert!(error.to_string().starts_with(start), "{error}");
    for (code, message, field) in [
        (400, "strict decoding error: unknown field \"spec.skipImmediately\"", ".spec.skipImmediately"),
        (
            500,
            "failed to create typed patch object (velero/daily; velero.io/v1, Kind=Schedule): .spec.skipImmediately: field \
             not declared in schema",
            ".spec.skipImmediately",
        ),
        (
            500,
            "failed to create typed patch object (velero/daily; velero.io/v1, Kind=Schedule): errors:\n  .spec.template.a: \
             field not declared in schema\n  .spec.b: field not declared in schema",
            ".spec.template.a, and no .spec.b",
        ),
    ] {
        let error = refusal(status(code, "", message, json!({}))).await;
        assert!(matches!(error, ClusterError::Lacks { .. }), "{error}");
        let lacks = "Schedule velero/daily can't be on cluster `prod`: the installed version of Schedule has no ";
        assert_eq!(error.to_string(), format!("{lacks}{field}"));
    }
}

#[tokio::test]
async fn credentials_are_read_again_once() {
    let no = || status(401, "Unauthorized", "Unauthorized", json!({}));
    let script = Script::new([no(), answer(200, &object("daily").to_string())]);
    assert!(script.cluster().get(&SCHEDULE, "velero", "daily").await.unwrap().is_some());
    let script = Script::new([no()]);
    let error = script.cluster().get(&SCHEDULE, "velero", "daily").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cluster `prod` does not accept the credentials: Unauthorized. They were read again, to no avail"
    );
    assert_eq!(script.seen().len(), 2);
}

#[tokio::test]
async fn a_token_in_the_provider_block_is_not_read_again() {
    let server = Listener::answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\n\r\nnope").await;
    let cluster = quick(line(host(&server.address, Who::Token(Secret::new("t0ken")))));
    let error = cluster.get(&SCHEDULE, "velero", "daily").await.unwrap_err();
    assert_eq!(error.to_string(), "cluster `prod` does not accept the credentials: nope");
    assert_eq!(server.requests.lock().unwrap().len(), 1);
    assert!(server.requests.lock().unwrap()[0].to_lowercase().contains("authorization: bearer t0ken\r\n"));
}

#[tokio::test]
async fn a_renewed_token_file_is_used_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let server = Listener::answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    let cluster = quick(line(host(&server.address, Who::TokenFile(file.clone()))));
    assert!(cluster.get(&SCHEDULE, "velero", "daily").await.is_err());
    std::fs::write(&file, "new\n").unwrap();
    assert!(cluster.get(&SCHEDULE, "velero", "daily").await.is_err());
    let requests = server.requests.lock().unwrap().clone();
    let token = |request: &String| request.to_lowercase().split("bearer ").nth(1).unwrap()[..3].to_owned();
    // The second request is the retry; the third still has what that one read, the fourth what is in the file by now.
    assert_eq!(requests.iter().map(token).collect::<Vec<_>>(), ["old", "old", "old", "new"]);
}

#[tokio::test]
async fn lists_follow_their_pages_and_begin_again_when_the_place_is_forgotten() {
    let page = |names: &[&str], next: &str| {
        let items: Vec<Value> = names.iter().map(|name| json!({ "metadata": { "name": name } })).collect();
        answer(200, &json!({ "kind": "ScheduleList", "metadata": { "continue": next }, "items": items }).to_string())
    };
    let expired = status(410, "Expired", "The provided continue parameter is too old", json!({}));
    let script = Script::new([page(&["a"], "x/1"), expired.clone(), page(&["a", "b"], "y"), page(&["c"], "")]);
    let listed = script.cluster().list(&SCHEDULE, Some("velero"), Some("a=b,c")).await.unwrap();
    let names: Vec<_> = listed.iter().map(|object| object.metadata.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(listed[0].types.as_ref().unwrap().kind, "Schedule");
    let paths: Vec<_> = script.seen().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths[0], "/apis/velero.io/v1/namespaces/velero/schedules?limit=500&labelSelector=a%3Db%2Cc");
    assert_eq!(paths[1], format!("{}&continue=x%2F1", paths[0]));
    assert_eq!(paths[2], paths[0]);
    let error = Script::new([expired]).cluster().list(&SCHEDULE, None, None).await.unwrap_err();
    assert_eq!(error.to_string(), "cluster `prod` answers 410: The provided continue parameter is too old");
}

#[tokio::test]
async fn a_busy_server_is_given_the_time_that_it_asks_for_and_not_more_than_a_bound() {
    let mut busy = status(429, "TooManyRequests", "too many requests", json!({ "retryAfterSeconds": 1 }));
    busy.headers_mut().insert("retry-after", "1".parse().unwrap());
    let script = Script::new([busy.clone(), busy.clone(), answer(200, &object("daily").to_string())]);
    let started = Instant::now();
    assert!(script.cluster().get(&SCHEDULE, "velero", "daily").await.unwrap().is_some());
    // One second is more than the longest pause, of which there were two.
    assert!(started.elapsed() >= Duration::from_millis(80));
    let error = refusal(busy).await;
    assert_eq!(error.to_string(), "cluster `prod` answers 429: too many requests (tried for 200ms)");
}

#[tokio::test]
async fn what_may_have_happened_is_not_created_twice() {
    let script = Script::new([answer(504, "gateway time-out"), answer(201, &object("daily").to_string())]);
    let error = script.cluster().create(&SCHEDULE, "velero", object("daily")).await.unwrap_err();
    assert_eq!(error.to_string(), "cluster `prod` answers 504: gateway time-out");
    let script = Script::new([answer(504, "gateway time-out"), answer(200, &object("daily").to_string())]);
    assert!(script.cluster().apply(&SCHEDULE, "velero", "daily", json!({}), false).await.is_ok());
}

#[tokio::test]
async fn a_webhook_that_is_not_up_yet_is_waited_for_at_apply_and_named() {
    let message = "Internal error occurred: failed calling webhook \"mutate.k8up.io\": failed to call webhook: Post \
                   \"https://k8up.k8up.svc:443/mutate\": no endpoints available";
    let down = || status(500, "InternalError", message, json!({}));
    let script = Script::new([down(), answer(200, &object("daily").to_string())]);
    let cluster = script.cluster();
    let error = cluster.apply(&SCHEDULE, "velero", "daily", json!({}), false).await.unwrap_err();
    assert!(matches!(&error, ClusterError::Webhook { name, .. } if name == "mutate.k8up.io"), "{error}");
    assert_eq!(script.seen().len(), 1, "a refresh waits for nothing");
    let script = Script::new([down(), answer(200, &object("daily").to_string())]);
    let cluster = script.cluster();
    cluster.apply_begins();
    cluster.apply(&SCHEDULE, "velero", "daily", json!({}), false).await.unwrap();
    let cluster = Script::new([down()]).cluster();
    cluster.apply_begins();
    let error = cluster.apply(&SCHEDULE, "velero", "daily", json!({}), false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the webhook \"mutate.k8up.io\" of cluster `prod` can't be called: {message} (tried for 200ms)")
    );
    let message = "conversion webhook for velero.io/v1, Kind=Schedule failed: Post \"https://x\": refused";
    let error = refusal(status(500, "InternalError", message, json!({}))).await;
    assert!(error.to_string().contains("\"conversion of velero.io/v1, Kind=Schedule\""), "{error}");
}

#[tokio::test]
async fn b7_waiting_for_a_webhook_takes_at_most_the_waiting_slots() {
    let message = "Internal error occurred: failed calling webhook \"x\": no endpoints available";
    let cluster = Script::new([status(500, "InternalError", message, json!({}))]).cluster();
    cluster.apply_begins();
    let quick = AtomicUsize::new(0);
    let one = || async {
        let started = Instant::now();
        cluster.apply(&SCHEDULE, "velero", "daily", json!({}), false).await.unwrap_err();
        if started.elapsed() < Duration::from_millis(150) {
            quick.fetch_add(1, Ordering::SeqCst);
        }
    };
    futures::future::join_all((0..10).map(|_| one())).await;
    assert_eq!(quick.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_refresh_lists_once_for_each_kind_and_namespace_and_an_apply_asks_anew() {
    let list = json!({ "metadata": {}, "items": [object("a"), object("b")] });
    let script = Script::new([answer(200, &list.to_string())]);
    let cluster = script.cluster();
    for (name, there) in [("a", true), ("b", true), ("c", false)] {
        assert_eq!(cluster.find(&SCHEDULE, "velero", name).await.unwrap().is_some(), there);
    }
    assert_eq!(script.seen().len(), 1);
    cluster.apply_begins();
    let _ = cluster.find(&SCHEDULE, "velero", "a").await;
    assert!(script.seen()[1].1.ends_with("/schedules/a"));
}

#[tokio::test]
async fn m16_secrets_are_never_listed_and_neither_is_what_may_not_be_listed() {
    let script = Script::new([answer(200, &object("cloud").to_string())]);
    let cluster = script.cluster();
    for _ in 0..2 {
        cluster.find(&Kind::SECRET, "velero", "cloud").await.unwrap().unwrap();
    }
    let paths: Vec<_> = script.seen().into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, ["/api/v1/namespaces/velero/secrets/cloud"]);
    let message =
        "User \"ada\" cannot list resource \"schedules\" in API group \"velero.io\" in the namespace \"velero\"";
    let script = Script::new([status(403, "Forbidden", message, json!({})), answer(200, &object("daily").to_string())]);
    assert!(script.cluster().find(&SCHEDULE, "velero", "daily").await.unwrap().is_some());
}

#[tokio::test]
async fn a_kind_is_waited_for_in_a_slot_and_what_brings_it_is_named() {
    let served = answer(200, &json!({ "resources": [{ "name": "schedules" }] }).to_string());
    let cluster = Script::new([served]).cluster();
    cluster.wait_for_kind(&SCHEDULE, "helm_release.velero", &WaitingSlots::default()).await.unwrap();
    let cluster = Script::new([answer(404, "404 page not found\n")]).cluster();
    assert!(!cluster.serves(&SCHEDULE).await.unwrap());
    let slots = WaitingSlots::default();
    let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
    assert_eq!(taken.len(), 4);
    let error = cluster.wait_for_kind(&SCHEDULE, "helm_release.velero", &slots).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the CRD schedules.velero.io (v1) on cluster `prod` is not there. Something in this apply has to install it first: \
         add depends_on = [helm_release.velero]"
    );
    let gone = status(404, "NotFound", "not found", json!({ "name": "velero", "kind": "namespaces" }));
    let cluster = Script::new([gone]).cluster();
    let error = cluster.wait_for_object(&Kind::NAMESPACE, "", "velero", "the namespace", &slots).await.unwrap_err();
    assert!(error.to_string().starts_with("Namespace velero on cluster `prod` is not there"), "{error}");
}

#[tokio::test]
async fn the_clusters_uid_is_that_of_kube_system_and_asked_once_for_a_refresh() {
    let namespace = json!({ "metadata": { "name": "kube-system", "uid": "u-1" } });
    let script = Script::new([answer(200, &namespace.to_string())]);
    let cluster = script.cluster();
    assert_eq!(cluster.uid().await.unwrap(), "u-1");
    assert_eq!(cluster.uid().await.unwrap(), "u-1");
    assert_eq!(script.seen().len(), 1);
    let none = Script::new([answer(200, &json!({ "metadata": {} }).to_string())]).cluster();
    let error = none.uid().await.unwrap_err().to_string();
    assert!(error.ends_with("it has no namespace kube-system, whose uid says which cluster it is"), "{error}");
}

#[tokio::test]
async fn m3_another_cluster_than_the_expected_one_is_an_error() {
    let body = json!({ "metadata": { "name": "kube-system", "uid": "u-2" } }).to_string();
    let server = Listener::answering(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    let connection = KubernetesConnection {
        expect_server_uid: Some("u-1".to_owned()),
        ..host(&server.address, Who::Token(Secret::new("t")))
    };
    let error = quick(line(connection)).uid().await.unwrap_err();
    assert_eq!(error.to_string(), "cluster `prod` is another one than expect_server_uid says: its uid is u-2, not u-1");
}

#[tokio::test]
async fn an_answer_that_is_no_object_is_said_and_a_web_page_is_cut() {
    let error = refusal(answer(200, "<html>")).await.to_string();
    assert!(error.starts_with("cluster `prod` gave no usable answer: it is no object:"), "{error}");
    let error = refusal(answer(418, "\n\n I am a teapot\n<html>")).await;
    assert_eq!(error.to_string(), "cluster `prod` answers 418: I am a teapot");
}

// What can't be reached.

use crate::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A TCP server that gives the same answer to each request, and can stop and come back at its address.
struct Listener {
    address: String,
    requests: Arc<StdMutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    async fn answering(text: &str) -> Listener {
        Listener::at("127.0.0.1:0", text).await
    }

    async fn at(address: &str, text: &str) -> Listener {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(StdMutex::new(Vec::new()));
        let (seen, text) = (requests.clone(), text.to_owned());
        let task = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut buffer = vec![0; 65536];
                // One request for each connection: its answer ends it.
                let read = socket.read(&mut buffer).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..read]).into_owned());
                let _ = socket.write_all(text.as_bytes()).await;
            }
        });
        Listener { address, requests, task }
    }

    /// An address where nobody listens.
    async fn nowhere() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn host(address: &str, who: Who) -> KubernetesConnection {
    KubernetesConnection {
        way: Way::Host { host: format!("http://{address}"), who },
        ca_pem: None,
        proxy_url: None,
        tls_server_name: None,
        insecure: false,
        unreachable: Unreachable::Fail,
        expect_server_uid: None,
    }
}

fn line(connection: KubernetesConnection) -> Line {
    Line::new("prod", Source::Settings(Box::new(connection)), Redactor::default(), WaitingSlots::default())
}

#[tokio::test]
async fn an_unreachable_cluster_is_tried_for_a_while_once_for_everybody_and_again_at_apply() {
    let address = Listener::nowhere().await;
    let cluster = quick(line(host(&address, Who::Token(Secret::new("t")))));
    let started = Instant::now();
    let one = || async { cluster.get(&SCHEDULE, "velero", "daily").await.unwrap_err() };
    let errors = futures::future::join_all((0..5).map(|_| one())).await;
    let once = started.elapsed();
    assert!(once >= Duration::from_millis(300) && once < Duration::from_millis(600), "{once:?}");
    for error in &errors {
        let text = format!(
            "cluster `prod` can't be reached: http://{address}: Connection refused (os error 111) (tried for 300ms)"
        );
        assert_eq!(error.to_string(), text);
    }
    let started = Instant::now();
    one().await;
    assert!(started.elapsed() < Duration::from_millis(100), "the verdict stands");
    cluster.apply_begins();
    let started = Instant::now();
    one().await;
    assert!(started.elapsed() >= Duration::from_millis(300), "an apply tries again");
}

#[tokio::test]
async fn a_server_that_comes_back_in_time_was_never_gone() {
    let address = Listener::nowhere().await;
    let cluster = quick(line(host(&address, Who::Token(Secret::new("t")))));
    let body = object("daily").to_string();
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let back = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Listener::at(&address, &text).await
    };
    let (found, _server) = tokio::join!(cluster.get(&SCHEDULE, "velero", "daily"), back);
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_breaks_off_is_not_one_that_can_not_be_reached() {
    let server = Listener::answering("").await;
    let cluster = quick(line(host(&server.address, Who::Token(Secret::new("t")))));
    let error = cluster.get(&SCHEDULE, "velero", "daily").await.unwrap_err();
    assert!(matches!(error, ClusterError::Broken { .. }), "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 4, "a read is repeated");
    let error = cluster.create(&SCHEDULE, "velero", object("daily")).await.unwrap_err();
    assert!(error.to_string().starts_with("cluster `prod` gave no usable answer: http://127.0.0.1:"), "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 5, "a create is not");
}

#[tokio::test]
async fn a_credential_program_that_fails_is_quoted_without_what_it_printed() {
    let exec = |command: &str, script: &str| {
        let args = vec!["-c".to_owned(), script.to_owned()];
        let version = "client.authentication.k8s.io/v1".to_owned();
        Who::Exec(Exec { api_version: version, command: command.to_owned(), args, env: Default::default() })
    };
    let fail = |who| async { quick(line(host("127.0.0.1:9", who))).uid().await.unwrap_err().to_string() };
    let error = fail(exec("sh", "echo s3cret; echo 'log in first' >&2; exit 3")).await;
    assert_eq!(
        error,
        "the connection `prod` can't be used: its credential program failed (exit status: 3): log in first"
    );
    let error = fail(exec("/nonexistent/aws", "")).await;
    assert_eq!(
        error,
        "the connection `prod` can't be used: its credential program can't be started: No such file or directory (os error 2)"
    );
    let error = fail(exec("sh", "echo {}")).await;
    assert_eq!(
        error,
        "the connection `prod` can't be used: its credential program printed no ExecCredential with a status"
    );
}

#[tokio::test]
async fn a_credential_program_gives_the_token() {
    let server = Listener::answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let credential = json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": { "token": "t0ken" } });
    let exec = Exec {
        api_version: "client.authentication.k8s.io/v1".to_owned(),
        command: "sh".to_owned(),
        args: vec!["-c".to_owned(), "echo \"$CREDENTIAL\"".to_owned()],
        env: [("CREDENTIAL".to_owned(), Secret::new(credential.to_string()))].into(),
    };
    let _ = quick(line(host(&server.address, Who::Exec(exec)))).uid().await;
    assert!(server.requests.lock().unwrap()[0].to_lowercase().contains("authorization: bearer t0ken\r\n"));
}

#[tokio::test]
async fn kubeconfigs_are_read_at_first_use_and_never_quoted() {
    let connect = async |way: Way, ca_pem: Option<&str>| {
        let connection =
            KubernetesConnection { way, ca_pem: ca_pem.map(str::to_owned), ..host("", Who::TokenFile("".into())) };
        let redactor = Redactor::default();
        let made = connection.connect(&redactor).await;
        (made.map(|connected| (connected.address, connected.expires)), redactor.redact("t0ken-of-ada"))
    };
    let text = |context: &str, yaml: &str| Way::Text { text: Secret::new(yaml), context: Some(context.to_owned()) };
    let good = "{apiVersion: v1, kind: Config, contexts: [{name: prod, context: {cluster: c, user: u}}], \
                clusters: [{name: c, cluster: {server: 'https://api.example.org:6443'}}], \
                users: [{name: u, user: {token: t0ken-of-ada}}]}";
    let (made, masked) = connect(text("prod", good), None).await;
    assert_eq!(made.unwrap().0, "https://api.example.org:6443");
    assert_eq!(masked, "(sensitive)");
    let why = |made: Result<_, String>| made.map(|_: (String, _)| ()).unwrap_err();
    assert_eq!(why(connect(text("test", good), None).await.0), "its kubeconfig has no context `test` (it has: prod)");
    let broken = connect(text("prod", "token: s3cret\n\t- ["), None).await.0;
    assert_eq!(why(broken), "it is no kubeconfig: its YAML can't be read");
    let orphan = good.replace("name: c, cluster: {", "name: d, cluster: {");
    assert_eq!(why(connect(text("prod", &orphan), None).await.0), "its kubeconfig has no cluster `c`");
    let file = Way::Files { paths: vec!["/nonexistent/config".into()], context: None };
    let missing = "/nonexistent/config: No such file or directory (os error 2)";
    assert_eq!(why(connect(file, None).await.0), missing);
    assert_eq!(why(connect(Way::Files { paths: Vec::new(), context: None }, None).await.0), "there is no kubeconfig");
    let path = why(connect(text("prod", good), Some("ca.crt")).await.0);
    assert!(path.starts_with("ca_pem holds no certificate; it takes the text"), "{path}");
    let no_current = Way::Text { text: Secret::new(good), context: None };
    assert_eq!(why(connect(no_current, None).await.0), "its kubeconfig has no current context: set `context`");
    let host = Way::Host { host: "api".to_owned(), who: Who::Token(Secret::new("t")) };
    assert_eq!(why(connect(host, None).await.0), "host has to be https://name[:port]");
    let file = Way::Host { host: "https://api".to_owned(), who: Who::TokenFile("/nonexistent/token".into()) };
    let missing = "its token_file /nonexistent/token can't be read: No such file or directory (os error 2)";
    assert_eq!(why(connect(file, None).await.0), missing);
    assert!(why(connect(Way::InCluster, None).await.0).starts_with("not in a pod of a cluster: "));
}

#[tokio::test]
async fn the_end_of_a_token_is_known_where_it_says_so() {
    let claims = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, r#"{"exp":1700000000}"#);
    for (token, expires) in [(format!("a.{claims}.b"), Some(1_700_000_000)), ("opaque".to_owned(), None)] {
        let cluster = quick(line(host("127.0.0.1:9", Who::Token(Secret::new(token)))));
        assert_eq!(cluster.token_expires().await.map(|at| at.as_second()), expires);
    }
    // One in a file is read again.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("a.{claims}.b")).unwrap();
    let cluster = quick(line(host("127.0.0.1:9", Who::TokenFile(file.path().to_owned()))));
    assert_eq!(cluster.token_expires().await, None);
}
